package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// classesFile names the classes of tar files, one a line.
const classesFile = "classes.txt"

const maxClassesBytes = 64 << 20 // of a classesFile

// shardClasses returns the names of the classes of tar files in dir, the largest
// of which is most: the lines of classes.txt in dir or, where dir is a split,
// next to it; or else the numbers 0 to most.
func shardClasses(dir string, most int) ([]string, error) {
	places := []string{filepath.Join(dir, classesFile)}
	if split := filepath.Base(dir); split == trainSplit || slices.Contains(evalSplits(), split) {
		places = append(places, filepath.Join(filepath.Dir(dir), classesFile))
	}
	for _, path := range places {
		names, err := readClasses(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && most >= len(names) {
			err = &Error{Path: path, Reason: fmt.Sprintf("%d names, but class %d has images in %s", len(names), most, dir),
				Hint: "a line names a class; the first is class 0"}
		}
		return names, err
	}
	names := make([]string, most+1)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names, nil
}

// readClasses returns the lines of a file, each a class.
func readClasses(path string) ([]string, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > maxClassesBytes {
		return nil, &Error{Path: path, Reason: fmt.Sprintf("%d MB of class names", info.Size()>>20)}
	}
	content, err := io.ReadAll(io.LimitReader(f, maxClassesBytes))
	if err != nil {
		return nil, unreadable(path, err)
	}
	text, err := plainText(path, content)
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	line := make(map[string]int, len(names))
	for i, name := range names {
		name = strings.TrimSuffix(name, "\r")
		names[i] = name
		if before, ok := line[name]; ok || name == "" {
			reason := fmt.Sprintf("line %d is empty", i+1)
			if ok {
				reason = fmt.Sprintf("%s is on line %d and on line %d", name, before, i+1)
			}
			return nil, &Error{Path: path, Reason: reason, Hint: "each line names one class"}
		}
		line[name] = i + 1
	}
	return names, nil
}

// numbered tells whether classes are called by their numbers, as those of tar
// files without names are.
func numbered(classes []string) bool {
	for i, name := range classes {
		if name != strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// plainText is the content of a text file without the mark that some editors put before
// UTF-8. UTF-16, which others write, is an *Error.
func plainText(path string, content []byte) (string, error) {
	text := string(content)
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") || strings.Contains(text, "\x00") {
		return "", &Error{Path: path, Reason: "UTF-16 text, or not text at all", Hint: "save it as UTF-8"}
	}
	return strings.TrimPrefix(text, "\ufeff"), nil
}

// SameName is what the names of a class have in common that differ in their Unicode form
// only: macOS writes é as two characters, other systems as one.
func SameName(class string) string { return norm.NFC.String(class) }
