package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// code is one kernel, linked: its instructions, then its constants.
type code struct {
	instructions []instruction
	data         []byte // from the end of the instructions on, padding first
}

type instruction struct {
	at     int
	raw    []byte
	text   string // clang's disassembly
	target int    // of a jump, or -1
}

// errAbsent is of a kernel that the sources do not define for a target.
var errAbsent = errors.New("not defined")

// link makes a kernel's code: the function's section at address 0, and behind it
// the constants that it refers to, which the linker keeps of those in the objects.
func link(ctx context.Context, tmp string, t target, objects []string, name string) (*code, error) {
	if defined, err := defines(objects, name); err != nil || !defined {
		return nil, errors.Join(err, errAbsent)
	}
	script, out := filepath.Join(tmp, "script"), filepath.Join(tmp, "linked")
	text := fmt.Sprintf("SECTIONS { . = 0; .text : { KEEP(*(.text.%s)) . = ALIGN(64); *(.rodata .rodata.*) } /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame) *(.llvm_addrsig) } }", name)
	if err := os.WriteFile(script, []byte(text), 0o666); err != nil {
		return nil, err
	}
	args := append([]string{"-m", t.emulation, "--gc-sections", "-e", name, "-T", script, "-o", out}, objects...)
	if _, err := command(ctx, linker, args...); err != nil {
		return nil, err
	}
	f, err := elf.Open(out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := onlyCode(f, name)
	if err != nil {
		return nil, err
	}
	if a := f.Section(".text").Addralign; a > uint64(t.align) {
		return nil, fmt.Errorf("needs an alignment of %d, more than %d", a, t.align)
	}
	all, err := f.Section(".text").Data()
	if err != nil {
		return nil, err
	}
	listing, err := command(ctx, objdump, "-d", "--no-show-raw-insn", out)
	if err != nil {
		return nil, err
	}
	c := &code{data: all[size:]}
	if len(bytes.Trim(c.data, "\x00")) == 0 {
		c.data = nil
	}
	c.instructions, err = disassembled(listing, all[:size])
	return c, err
}

// defines says whether an object has a function of that name.
func defines(objects []string, name string) (bool, error) {
	for _, path := range objects {
		f, err := elf.Open(path)
		if err != nil {
			return false, err
		}
		found := f.Section(".text."+name) != nil
		if err := f.Close(); err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// onlyCode is the size of the function, which must be alone: with memory that can
// be written, or a second function, the code would refer to what is not written.
func onlyCode(f *elf.File, name string) (size int, err error) {
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Name == ".text" || s.Size == 0 {
			continue
		}
		if other, ok := strings.CutPrefix(s.Name, ".text."); ok {
			return 0, fmt.Errorf("needs the function %s", other)
		}
		return 0, fmt.Errorf("needs memory of its own (%s)", s.Name)
	}
	symbols, err := f.Symbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC {
			continue
		}
		if s.Name != name || s.Value != 0 {
			return 0, fmt.Errorf("needs the function %s", s.Name)
		}
		size = int(s.Size)
	}
	if size == 0 {
		return 0, errors.New("has no size")
	}
	return size, nil
}

var (
	listed   = regexp.MustCompile(`^\s*([0-9a-f]+):\s+(.*)$`)
	jumpedTo = regexp.MustCompile(`0x([0-9a-f]+) <`)
)

// disassembled cuts the bytes of a function where its listing says that
// instructions begin.
func disassembled(listing string, raw []byte) (all []instruction, err error) {
	for line := range strings.Lines(listing) {
		m := listed.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		at, err := strconv.ParseInt(m[1], 16, 64)
		if err != nil {
			return nil, err
		}
		if int(at) >= len(raw) {
			break
		}
		text, _, _ := strings.Cut(strings.Join(strings.Fields(m[2]), " "), " # ")
		text, _, _ = strings.Cut(text, " // ")
		i := instruction{at: int(at), text: text, target: -1}
		if t := jumpedTo.FindStringSubmatch(text); t != nil {
			to, err := strconv.ParseInt(t[1], 16, 64)
			if err != nil {
				return nil, err
			}
			i.target = int(to)
		}
		all = append(all, i)
	}
	if len(all) == 0 || all[0].at != 0 {
		return nil, errors.New("the disassembly does not begin where the function does")
	}
	for i := range all {
		end := len(raw)
		if i+1 < len(all) {
			end = all[i+1].at
		}
		if end <= all[i].at || end-all[i].at > 15 {
			return nil, fmt.Errorf("the disassembly has a gap at %#x", all[i].at)
		}
		all[i].raw = raw[all[i].at:end]
	}
	return all, nil
}
