package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// target is a set of instructions.
type target struct {
	goarch, triple, emulation string
	flags                     []string
	argument                  string // loads the address of the arguments into preserve_none's first register
	align                     int    // of the code, and so of the constants behind it
	words                     bool   // the assembler's data directives are of 4 bytes

	forbidden *regexp.Regexp // in an instruction
	frame     *regexp.Regexp // what only keeps the frame pointer, which Go does itself
	nop       byte
	only      *regexp.Regexp // the kernels that it is for; nil for all
	wide      *regexp.Regexp // registers whose upper halves are to be cleared
}

// commonFlags ask for code that stands alone: no library, no tables of jumps, and
// for contraction by the sources' own pragma alone.
var commonFlags = strings.Fields("-O3 -std=c2x -ffreestanding -ffunction-sections -fno-asynchronous-unwind-tables -fno-stack-protector " +
	"-fno-jump-tables -fno-builtin -fPIC -Wall -Wextra -Werror -Wno-unknown-pragmas -fno-math-errno -fno-trapping-math -fno-vectorize -fno-slp-vectorize -fomit-frame-pointer")

// Go's assembly functions may change every register but the stack pointer and the
// frame pointer; clang is told to keep rbp for a frame, which is then not made.
func amd64(flags string) target {
	return target{
		goarch: "amd64", triple: "x86_64-linux-gnu", emulation: "elf_x86_64",
		flags:    strings.Fields(flags + " -mno-red-zone -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer"),
		argument: "LEAQ %s+0(FP), R12", align: 64,
		forbidden: regexp.MustCompile(`%[re]?[sb]pl?\b|%[fg]s:|^call|^push|^pop[^c]|^(enter|leave)|^ret\w* \$|^jmp\w* \*|^(int\b|int3|syscall|std\b|v?ldmxcsr|fldcw|fninit|xrstor)`),
		frame:     regexp.MustCompile(`^(pushq %rbp|movq %rsp, %rbp|popq %rbp)$`),
		nop:       0x90,
		wide:      regexp.MustCompile(`%[yz]mm`),
	}
}

const avx512 = "-mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512 -mtune=znver4"

var allTargets = map[string]target{
	"avx512":     amd64(avx512),
	"avx512vbmi": amd64(avx512 + " -mavx512vbmi"),
	"avx512bf16": only("^(pairs.*|peakPairs|narrow|(add|scale|scaleAdd|normAct|normActGradInput|gateGrad|biasAct|lines.*)Half)$", amd64(avx512+" -mavx512bf16")),
	"avx2":       amd64("-mavx2 -mfma -mtune=znver3"),
	"neon": {
		goarch: "arm64", triple: "aarch64-linux-gnu", emulation: "aarch64linux",
		flags:    strings.Fields("-march=armv8-a -mtune=neoverse-n1 -ffixed-x18 -ffixed-x28 -mcmodel=tiny"),
		argument: "MOVD $%s+0(FP), R20", align: 64, words: true,
		// Not the stack, the link, Go's g (x28), nor the platform's register (x18).
		forbidden: regexp.MustCompile(`\bw?sp\b|\badrp\b|^(bl|blr|br|svc|msr)\b|^ret x|\b[xw](18|28|29|30)\b`),
		frame:     regexp.MustCompile(`^$`),
	},
}

// only is a target for the kernels whose names match, beside another that has all.
func only(names string, t target) target {
	t.only = regexp.MustCompile(names)
	return t
}

// inspect refuses what cannot run as a Go function.
func (t target) inspect(c *code) error {
	wide, cleared := false, false
	for _, i := range c.instructions {
		switch {
		case t.frame.MatchString(i.text):
		case t.forbidden.MatchString(i.text):
			return fmt.Errorf("not allowed in a kernel: %s", i.text)
		}
		if i.target >= 0 && !slices.ContainsFunc(c.instructions, func(to instruction) bool { return to.at == i.target }) && isJump(i.text) {
			return fmt.Errorf("jumps out: %s", i.text)
		}
		wide = wide || t.wide != nil && t.wide.MatchString(i.text)
		cleared = cleared || i.text == "vzeroupper"
	}
	if wide && !cleared {
		return errors.New("leaves the upper halves of the vector registers")
	}
	return nil
}

// isJump is whether an instruction with an address jumps there; others read it.
func isJump(text string) bool {
	m, _, _ := strings.Cut(text, " ")
	return m[0] == 'j' || m == "b" || strings.HasPrefix(m, "b.") || strings.HasPrefix(m, "cb") || strings.HasPrefix(m, "tb")
}

// write writes a kernel as a Go assembly function.
func (t target) write(w *strings.Builder, symbol string, k kernel, c *code) {
	fmt.Fprintf(w, "\n// func %s(%s)\nTEXT ·%s(SB), NOSPLIT|NOFRAME, $0-%d\n\t"+t.argument+"\n\tPCALIGN $%d\n", symbol, k.params, symbol, k.size, k.first, t.align)
	labels := map[int]bool{}
	for _, i := range c.instructions {
		if i.target >= 0 {
			labels[i.target] = true
		}
	}
	for _, i := range c.instructions {
		if labels[i.at] {
			fmt.Fprintf(w, "\t// L%x\n", i.at)
		}
		raw, text := i.raw, jumpedTo.ReplaceAllString(i.text, "L$1 <")
		if t.frame.MatchString(text) {
			raw = bytes.Repeat([]byte{t.nop}, len(raw))
			text = "nop (" + text + ")"
		}
		text, _, _ = strings.Cut(text, " <")
		fmt.Fprintf(w, "\t%s // %s\n", t.emit(raw), text)
	}
	for data := c.data; len(data) > 0; {
		n := min(16, len(data))
		fmt.Fprintf(w, "\t%s\n", t.emit(data[:n]))
		data = data[n:]
	}
}

// emit is bytes as the assembler's data directives.
func (t target) emit(b []byte) string {
	var parts []string
	for len(b) > 0 {
		n := 4
		switch {
		case t.words:
			parts = append(parts, fmt.Sprintf("WORD $0x%08x", binary.LittleEndian.Uint32(b)))
		case len(b) >= 8:
			n = 8
			parts = append(parts, fmt.Sprintf("QUAD $0x%016x", binary.LittleEndian.Uint64(b)))
		case len(b) >= 4:
			parts = append(parts, fmt.Sprintf("LONG $0x%08x", binary.LittleEndian.Uint32(b)))
		case len(b) >= 2:
			n = 2
			parts = append(parts, fmt.Sprintf("WORD $0x%04x", binary.LittleEndian.Uint16(b)))
		default:
			n = 1
			parts = append(parts, fmt.Sprintf("BYTE $0x%02x", b[0]))
		}
		b = b[n:]
	}
	return strings.Join(parts, "; ")
}
