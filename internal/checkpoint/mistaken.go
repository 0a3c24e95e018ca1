package checkpoint

import (
	"bytes"
	"fmt"
)

const (
	download = "what was saved is a page from the server, not the file; download it again, from the address of the file itself"
	unpack   = "unpack it first, and use the file inside"
)

// mistaken are the first bytes of files that bear the names of weights and hold none.
var mistaken = []struct{ magic, what, hint string }{
	{"version https://git-lfs", "a Git LFS pointer", "fetch it with: git lfs pull"},
	{"<!doctype html", "an HTML page", download},
	{"<html", "an HTML page", download},
	{"<head", "an HTML page", download},
	{"<?xml", "an XML document", download},
	{"<error", "an XML document", download},
	{"{", "JSON", "if it is a reply from a server, download the file again; if it describes weights, use the file that has them"},
	{"\x1f\x8b", "compressed with gzip", unpack},
	{"bzh", "compressed with bzip2", unpack},
	{"\xfd7zxz", "compressed with xz", unpack},
	{"\x28\xb5\x2f\xfd", "compressed with Zstandard", unpack},
	{"7z\xbc\xaf", "a 7-Zip archive", unpack},
	{"rar!\x1a", "a RAR archive", unpack},
	{"gguf", "a GGUF file, for language models", ""},
	{"\xff\xd8\xff", "a JPEG image", ""},
	{"\x89png", "a PNG image", ""},
}

// MistakenBytes is how much of a file Mistaken needs.
const MistakenBytes = 512

// Mistaken returns the error of a file that begins with head and is none of any program's
// weights: a web page, a pointer, an archive. It is nil for every other.
func Mistaken(head []byte) *Error {
	if len(head) == 0 {
		return &Error{Reason: "is empty", Hint: "download or copy it again"}
	}
	if IsSafetensors(head) {
		return nil
	}
	text := bytes.Clone(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] += 'a' - 'A'
		}
	}
	for _, m := range mistaken {
		if bytes.HasPrefix(text, []byte(m.magic)) {
			return &Error{Reason: fmt.Sprintf("is %s, not a file of weights", m.what), Hint: m.hint}
		}
	}
	const at, tar = 257, "ustar"
	if len(head) > at && bytes.HasPrefix(head[at:], []byte(tar)) {
		return &Error{Reason: "is a tar archive, not a file of weights", Hint: unpack + "; what PyTorch itself wrote as tar, before 2017, has to be saved again"}
	}
	return nil
}
