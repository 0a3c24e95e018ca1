package checkpoint

import (
	"strings"
	"testing"
)

func TestMistaken(t *testing.T) {
	for head, want := range map[string]string{
		"": "is empty", "version https://git-lfs.github.com/spec/v1\n": "Git LFS pointer", "\n <!DOCTYPE html><html>": "HTML", "\xef\xbb\xbf<HTML>": "HTML",
		"<?xml version=\"1.0\"?><Error>": "XML", "{\"error\": \"not found\"}": "JSON", "\x1f\x8b\x08\x00": "gzip", "BZh91AY": "bzip2", "\xfd7zXZ\x00": "xz",
		"\x28\xb5\x2f\xfd": "Zstandard", "\x89PNG\r\n": "PNG", "\xff\xd8\xff\xe0": "JPEG",
		"PK\x03\x04": "", "\x89HDF\r\n": "", "\x80\x02}": "", "text": "", "\x1f\x8b\x00\x00\x00\x00\x00\x00{\"a\"": "",
	} {
		switch e := Mistaken([]byte(head)); {
		case e == nil && want != "":
			t.Errorf("%q: no error, want %s", head, want)
		case e != nil && (want == "" || !strings.Contains(e.Reason, want)):
			t.Errorf("%q: %v, want %q", head, e, want)
		}
	}
}
