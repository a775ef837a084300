// SPDX-License-Identifier: MIT
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Copy WAY FROM TO: one of Java's ways to copy a file. */
class Copy {
	private static void streams(String from, String to) throws IOException {
		try (InputStream in = new FileInputStream(from); OutputStream out = new FileOutputStream(to)) {
			in.transferTo(out);
		}
	}

	private static void open(String from, String to) throws IOException {
		new FileInputStream(from).transferTo(new FileOutputStream(to));
		System.exit(0);
	}

	private static void files(String from, String to) throws IOException {
		try (OutputStream out = Files.newOutputStream(Path.of(to))) {
			Files.copy(Path.of(from), out);
		}
	}

	private static FileChannel output(String to) throws IOException {
		return FileChannel.open(Path.of(to), StandardOpenOption.WRITE, StandardOpenOption.CREATE,
				StandardOpenOption.TRUNCATE_EXISTING);
	}

	private static void channels(String from, String to) throws IOException {
		try (FileChannel in = FileChannel.open(Path.of(from)); FileChannel out = output(to)) {
			in.transferTo(0, Long.MAX_VALUE, out);
		}
	}

	private static void back(String from, String to) throws IOException {
		try (FileChannel in = FileChannel.open(Path.of(from)); FileChannel out = output(to)) {
			out.transferFrom(in, 0, Long.MAX_VALUE);
		}
	}

	public static void main(String[] args) throws IOException {
		switch (args[0]) {
			case "InputStream.transferTo" -> streams(args[1], args[2]);
			case "System.exit" -> open(args[1], args[2]);
			case "Files.copy" -> files(args[1], args[2]);
			case "FileChannel.transferTo" -> channels(args[1], args[2]);
			case "FileChannel.transferFrom" -> back(args[1], args[2]);
			default -> throw new IllegalArgumentException(args[0]);
		}
	}
}
