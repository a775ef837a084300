#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mutate.py: one deliberate fault in a copy of C sources.

    mutate.py DIRECTORY WHERE FROM TO [WHERE FROM TO]...

In the function WHERE, which one file of DIRECTORY/*.[ch] must define, FROM becomes TO.  FROM is compared
token by token: comments and white space do not count.  In FROM, @name stands for any one identifier, the
same at each of its places, and TO may use it.  FROM must be found exactly once.  With `#define` as WHERE,
FROM is the name of a constant and TO its value.

Prints the names of the files that were changed.  Exit status 2: something was not found exactly once.
"""
import pathlib
import re
import sys

TOKEN = re.compile(r"""
    (?P<space> \s+ | //[^\n]* | /\*.*?\*/ )
  | (?P<directive> (?<![^\n]) [ \t]* \# (?: \\\n | /\*.*?\*/ | [^\n] )* )
  | (?P<token> @?[A-Za-z_]\w* | \.?\d[\w.]* | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
      | -> | \+\+ | -- | <<= | >>= | << | >> | [-+*/%&|^<>=!]= | && | \|\| | . )
""", re.VERBOSE | re.DOTALL)


def tokens(text):
    """(token, begin, end) of everything but comments, white space and directives."""
    return [(m.group(), m.start(), m.end()) for m in TOKEN.finditer(text) if m.lastgroup == 'token']


def bodies(source, name):
    """The tokens of each definition of the function `name`, from its { to its }."""
    found, depth, parens, begin = [], 0, 0, None
    last = last_call = None
    for i, (token, _, _) in enumerate(source):
        if token == '(':
            if depth == 0 and parens == 0:
                last_call = last
            parens += 1
        elif token == ')':
            parens -= 1
        elif token == '{':
            if depth == 0:
                begin = i if last_call == name and last == ')' else None
            depth += 1
        elif token == '}':
            depth -= 1
            if depth == 0 and begin is not None:
                found.append(source[begin:i + 1])
        elif token == ';' and depth == 0:
            last_call = None
        last = token
    return found


def match(body, pattern, at):
    """What the @names of the pattern are if it stands at body[at:], else None."""
    names = {}
    if at + len(pattern) > len(body):
        return None
    for (want, _, _), (token, _, _) in zip(pattern, body[at:]):
        if want.startswith('@'):
            if not re.match(r'[A-Za-z_]', token) or names.setdefault(want, token) != token:
                return None
        elif want != token:
            return None
    return names


def edits_in_function(text, where, old, new):
    pattern = tokens(old)
    for body in bodies(tokens(text), where):
        for at in range(len(body)):
            names = match(body, pattern, at)
            if names is not None:
                new_text = re.sub(r'@\w+', lambda m: names[m.group()], new)
                yield body[at][1], body[at + len(pattern) - 1][2], new_text


def edits_of_constant(text, old, new):
    for m in re.finditer(r'^#define[ \t]+' + re.escape(old) + r'[ \t]+(?P<value>[^\n]*)', text, re.MULTILINE):
        yield m.start('value'), m.end('value'), new


def the_one(things, what):
    """The only one of `things`."""
    if len(things) != 1:
        raise LookupError(f'found {len(things)} times instead of once: {what}')
    return things[0]


def change(files, where, old, new):
    """Makes the change, and returns the file's path."""
    texts = {path: path.read_text() for path in files}
    if where == '#define':
        edits = [(path, edit) for path in files for edit in edits_of_constant(texts[path], old, new)]
        path, (begin, end, new) = the_one(edits, f'#define {old}')
    else:
        definitions = [path for path in files for _ in bodies(tokens(texts[path]), where)]
        path = the_one(definitions, f'a function {where}()')
        edits = list(edits_in_function(texts[path], where, old, new))
        begin, end, new = the_one(edits, f'in {where}() of {path.name}: {old}')
    path.write_text(texts[path][:begin] + new + texts[path][end:])
    return path


def main(directory, *changes):
    files = sorted(pathlib.Path(directory).glob('*.[ch]'))
    try:
        changed = {change(files, *changes[i:i + 3]).name for i in range(0, len(changes), 3)}
    except LookupError as error:
        print(f'mutate.py: {error}', file=sys.stderr)
        return 2
    print('\n'.join(sorted(changed)))
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
