package check

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"effnet/internal/words"
)

// about is what a kind of problem is called and what to do about it.
var about = map[Kind]struct{ one, many, todo string }{
	Unreadable:   {"image cannot be used", "images cannot be used", "replace, or skip: --quarantine LIST here, then train --exclude LIST"},
	BadFolder:    {"folder or link cannot be used", "folders or links cannot be used", "fix or remove"},
	EmptyClass:   {"class has no images", "classes have no images", "add some, or remove the folder from every split"},
	ClassMissing: {"class is in one split only", "classes are in one split only", "every split needs the same class folders"},
	Leak:         {"file is in more than one split", "files are in more than one split", "evaluation looks better than it is: --quarantine LIST --duplicates excludes them from training"},
	Conflict:     {"file is in more than one class", "files are in more than one class", "decide which class is right; --quarantine LIST --duplicates lists all copies in training"},
	Duplicate:    {"file is more than once in its class", "files are more than once in their class", "harmless if few; --quarantine LIST --duplicates lists all but the first"},
	Misnamed:     {"file has another format's extension", "files have another format's extension", "read all the same"},
	Tiny:         {"image is tiny", "images are tiny", "check that they show anything"},
	Nested:       {"folder is inside a class folder", "folders are inside class folders", "their images are read as that class"},
	Outside:      {"image is in no class folder", "images are in no class folder", "not read: move into a class folder"},
	NotImage:     {"other file is in a class folder", "other files are in class folders", "not read"},
	ClassOrder:   {"split has numbered classes in another order", "splits have numbered classes in another order", "a checkpoint from elsewhere may number them differently: pad the names with zeros"},
	AlikeClasses: {"pair of classes has names almost alike", "pairs of classes have names almost alike", "are they one class?"},
	Imbalance:    {"split has classes of very different sizes", "splits have classes of very different sizes", "see --sampler balanced and --class-weights balanced"},
}

// WriteText writes the report for people: of each kind of problem at most most
// examples, 0 for all of them. The verdict on a data set that is not usable is
// left to the caller's error.
func (r *Report) WriteText(w io.Writer, most int) error {
	var b strings.Builder
	for _, kind := range kinds {
		r.writeKind(&b, kind, most)
	}
	r.writeNumbers(&b)
	if r.Usable {
		b.WriteString(r.Verdict() + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeKind(b *strings.Builder, kind Kind, most int) {
	problems := slices.DeleteFunc(slices.Clone(r.Problems), func(p Problem) bool { return p.Kind != kind })
	n := len(problems)
	if n == 0 {
		return
	}
	title := about[kind].many
	if n == 1 {
		title = about[kind].one
	}
	fmt.Fprintf(b, "%d %s (%s)\n", n, title, about[kind].todo)
	for i, p := range problems {
		if most > 0 && i == most {
			fmt.Fprintf(b, "  and %d more (--all lists them)\n", n-most)
			break
		}
		fmt.Fprintf(b, "  %s", show(p.Path))
		if p.Reason != "" {
			fmt.Fprintf(b, ": %s", p.Reason)
		}
		for k, other := range p.Others {
			fmt.Fprintf(b, "%s%s", map[bool]string{true: " = ", false: ", "}[k == 0], show(other))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func (r *Report) writeNumbers(b *strings.Builder) {
	for _, s := range r.Splits {
		name := s.Name
		if name == "" {
			name = "images"
		}
		fmt.Fprintf(b, "%-12s%s of %s", name, words.Count(s.Images, "image"), words.Count(len(s.Classes), "class", "classes"))
		if len(s.Classes) > 0 {
			sorted := slices.SortedFunc(slices.Values(s.Classes), func(a, b Class) int { return a.Images - b.Images })
			small, large := sorted[0], sorted[len(sorted)-1]
			fmt.Fprintf(b, ": %d (%s) to %d (%s) per class", small.Images, show(small.Name), large.Images, show(large.Name))
		}
		b.WriteString("\n")
	}
	if r.Width.Max == 0 {
		return
	}
	fmt.Fprintf(b, "%-12s%d to %d wide, middle %d; %d to %d high, middle %d; %d of more than 4 megapixels\n", "pixels",
		r.Width.Min, r.Width.Max, r.Width.Median, r.Height.Min, r.Height.Max, r.Height.Median, r.Large)
	var formats []string
	for _, f := range slices.Sorted(maps.Keys(r.Formats)) {
		formats = append(formats, fmt.Sprintf("%d %s", r.Formats[f], f))
	}
	fmt.Fprintf(b, "%-12s%s; %d grey, %d with alpha, %d CMYK; %.1f MiB\n", "files", strings.Join(formats, ", "), r.Grey, r.Alpha, r.CMYK, float64(r.Bytes)/(1<<20))
	if r.Turned > 0 {
		fmt.Fprintf(b, "%-12s%d photographs are stored sideways or upside down (--exif-orientation turns them)\n", "EXIF", r.Turned)
	}
}

// Verdict is the report in one line.
func (r *Report) Verdict() string {
	fatal, other := 0, 0
	for _, p := range r.Problems {
		if p.Kind.Fatal() {
			fatal++
		} else {
			other++
		}
	}
	switch {
	case fatal > 0:
		return fmt.Sprintf("not usable as it is: %s, %s", words.Count(fatal, "error"), words.Count(other, "warning"))
	case other > 0:
		return fmt.Sprintf("usable; %s", words.Count(other, "warning"))
	}
	return "no problems found"
}

func sizeText(w, h int) string { return fmt.Sprintf("%dx%d pixels", w, h) }

// show is a name as a terminal can show it.
func show(name string) string {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(name)
	}
	return name
}
