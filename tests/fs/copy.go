// SPDX-License-Identifier: MIT

// copy [-open] FROM TO: io.Copy; -open: main returns with the files open.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// Afterwards main can be in any thread.
func wander() {
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			exec.Command("true").Run()
			group.Done()
		}()
	}
	group.Wait()
}

func copyOpen(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	wander()
	_, err = io.Copy(out, in)
	return err
}

func run(args []string) error {
	if args[0] == "-open" {
		return copyOpen(args[1], args[2])
	}
	return copyFile(args[0], args[1])
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
