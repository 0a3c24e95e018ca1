package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"effnet/internal/data"
)

// imbalanced is how many times as large as the smallest class the largest may be
// before that is worth a word.
const imbalanced = 10

// strays takes what a survey found to be out of place.
func (r *Report) strays(strays []data.Stray) {
	kind := map[data.StrayKind]Kind{data.Broken: BadFolder, data.EmptyClass: EmptyClass, data.Outside: Outside,
		data.Nested: Nested, data.NoImage: NotImage}
	for _, s := range strays {
		if s.Kind == data.EmptyClass { // its title says what is wrong
			s.Reason = ""
		}
		r.add(kind[s.Kind], s.Path, s.Reason)
	}
}

// classes takes what is wrong with the classes of the splits.
func (r *Report) classes(splits []data.Split) {
	for _, s := range splits {
		r.strays(s.Strays)
		split := Split{Name: s.Name, Images: s.Set.Len(), Classes: []Class{}}
		for c, n := range s.Set.Counts() {
			split.Classes = append(split.Classes, Class{s.Set.Classes[c], n})
		}
		r.Splits = append(r.Splits, split)
		if s.Name == "train" && len(s.Set.Classes) == 1 {
			r.add(BadFolder, s.Set.Dir, "only one class, "+s.Set.Classes[0])
		}
		r.names(s.Set)
		r.balance(s.Set.Dir, split.Classes)
	}
	for k := 1; k < len(splits); k++ {
		r.compare(splits[0].Set, splits[k].Set)
	}
}

// compare notes the classes that one split has and the other, an evaluation split, lacks,
// where training refuses that.
func (r *Report) compare(a, b *data.Set) {
	if b.MayLack(a.Classes) {
		return
	}
	for _, pair := range [][2]*data.Set{{a, b}, {b, a}} {
		has := map[string]bool{}
		for _, class := range pair[1].Classes {
			has[data.SameName(class)] = true
		}
		for _, class := range pair[0].Classes {
			if !has[data.SameName(class)] {
				r.add(ClassMissing, pair[1].Dir, "has no class "+strconv.Quote(class)+", which "+r.relative(pair[0].Dir)+" has")
			}
		}
	}
}

// names notes names of classes that may mislead.
func (r *Report) names(set *data.Set) {
	if slices.IsSorted(set.Classes) { // an order of the user's own is meant
		counted := slices.SortedStableFunc(slices.Values(set.Classes), compareNumbers)
		for i, class := range set.Classes {
			if class != counted[i] {
				r.add(ClassOrder, set.Dir, fmt.Sprintf("class %q is number %d: names are sorted as text", class, i))
				break
			}
		}
	}
	first := map[string]string{}
	for _, class := range set.Classes {
		key := strings.ToLower(strings.Map(func(c rune) rune {
			if unicode.IsSpace(c) || !unicode.IsPrint(c) || c == '_' || c == '-' {
				return -1
			}
			return c
		}, data.SameName(class)))
		if other, twice := first[key]; twice {
			r.add(AlikeClasses, set.Dir, fmt.Sprintf("%q and %q", other, class))
		} else {
			first[key] = class
		}
	}
}

func (r *Report) balance(dir string, classes []Class) {
	used := slices.DeleteFunc(slices.Clone(classes), func(c Class) bool { return c.Images == 0 })
	if len(used) < 2 {
		return
	}
	less := func(a, b Class) int { return cmp.Compare(a.Images, b.Images) }
	small, large := slices.MinFunc(used, less), slices.MaxFunc(used, less)
	if large.Images >= imbalanced*small.Images {
		r.add(Imbalance, dir, fmt.Sprintf("%d images of %s, %d of %s", large.Images, large.Name, small.Images, small.Name))
	}
}

// compareNumbers compares names as people count: whole numbers in them by their
// values, all else byte by byte.
func compareNumbers(a, b string) int {
	for a != "" && b != "" {
		m, n := digits(a), digits(b)
		if m == 0 || n == 0 {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
			return c
		}
		a, b = a[m:], b[n:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits returns how many decimal digits a name begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
