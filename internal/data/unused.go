package data

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/words"
)

// otherFormats are kinds of images that are not read, by their extensions.
var otherFormats = map[string]string{
	".avif": "AVIF", ".heic": "HEIC", ".heif": "HEIC", ".jxl": "JPEG XL", ".jp2": "JPEG 2000", ".psd": "Photoshop",
	".svg": "SVG", ".cr2": "raw", ".nef": "raw", ".arw": "raw", ".dng": "raw",
}

// unused says in one line how many files of the split at dir are not used, and why, and
// which images are used that lie deeper than others: "" if there is nothing to say. Files
// whose names begin with a dot are not counted.
func unused(dir string, strays []Stray) string {
	count, nested, outside := map[string]int{}, 0, 0
	for _, stray := range strays {
		switch stray.Kind {
		case Nested:
			nested += stray.images
		case Outside:
			outside++
		case NoImage:
			count[kindOfFile(stray.Path)]++
		}
	}
	var parts []string
	if outside > 0 {
		parts = append(parts, words.Count(outside, "image")+" in no class folder")
	}
	total := outside
	for _, kind := range slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(count[b]-count[a], strings.Compare(a, b))
	}) {
		total += count[kind]
		parts = append(parts, fmt.Sprintf("%d %s", count[kind], kind))
	}
	text := ""
	if total > 0 {
		const most = 4
		if len(parts) > most {
			parts = append(parts[:most], "others")
		}
		text = fmt.Sprintf("%s: %s not used: %s", dir, words.Count(total, "file"), strings.Join(parts, ", "))
	}
	if nested > 0 {
		if text == "" {
			text = dir + ": "
		} else {
			text += "; "
		}
		text += words.Count(nested, "image") + " in folders within class folders used as that class"
	}
	return text
}

// kindOfFile is what a file is that is not read, by its name.
func kindOfFile(path string) string {
	ext := strings.ToLower(filepath.Ext(path))
	switch format := otherFormats[ext]; {
	case format != "":
		return format + " (convert to JPEG or PNG)"
	case ext == "":
		return "without extension"
	}
	return ext
}
