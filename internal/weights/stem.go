package weights

import (
	"fmt"
	"slices"
	"strings"

	"effnet/internal/named"
	"effnet/internal/weights/names"
)

// A source is where the network lies in a file, and whose names it has.
type source struct {
	names.Convention
	prefix  string                  // what all names of the network begin with
	tensors map[string]named.Tensor // by the names that the convention gives them; Tensor.Name is the file's
	copies  map[string]string       // the other of weights and averages: names in the file to those of the convention

	averages bool   // these are running averages of the weights
	other    string // where the file has what this is not of weights and averages, "" if it has not
}

// recognise finds whose names a file has, and where its network is: below the prefix of
// the stem, such as "model." or "efficientnet-b0/". Of a network and its running averages
// it takes the averages, or with plain the weights.
func recognise(f *file, plain bool) (*source, error) {
	places := make([]string, len(f.tensors))
	for i, t := range f.tensors {
		places[i] = place(t.Name)
	}
	for _, c := range names.All {
		if prefixes := stems(places, c); len(prefixes) > 0 {
			s := &source{Convention: c}
			other, both, err := s.choose(prefixes, plain)
			if err == nil {
				s.take(f, places, other, both)
			}
			return s, err
		}
	}
	first := make([]string, 0, 3)
	for _, t := range f.tensors[:min(3, len(f.tensors))] {
		first = append(first, fmt.Sprintf("%.60q", t.Name))
	}
	return nil, hinted{fmt.Errorf("has no EfficientNet weights: none of its %d tensors (%s ...) is a stem", len(f.tensors), strings.Join(first, ", ")),
		"tensors must have the names of timm, torchvision, lukemelas, Keras or tensorflow/tpu"}
}

// place is a tensor's name with what says that it is an average before it. TensorFlow has
// it behind.
func place(name string) string {
	const average = "/ExponentialMovingAverage"
	if variable, ok := strings.CutSuffix(name, average); ok {
		return average[1:] + "/" + variable
	}
	return name
}

// stems are the prefixes below which a convention's stem lies, but for those inside
// another's network.
func stems(places []string, c names.Convention) (prefixes []string) {
	for _, name := range places {
		prefix, found := strings.CutSuffix(name, c.Stem)
		if !found || prefix != "" && !strings.HasSuffix(prefix, ".") && !strings.HasSuffix(prefix, "/") {
			continue
		}
		if c.Mark == "" || slices.Contains(places, prefix+c.Mark) {
			prefixes = append(prefixes, prefix)
		}
	}
	all := slices.Clone(prefixes)
	return slices.DeleteFunc(prefixes, func(p string) bool {
		return slices.ContainsFunc(all, func(q string) bool {
			return len(q) < len(p) && strings.HasPrefix(p, q) && isAverage(p) == isAverage(q)
		})
	})
}

// isAverage says whether a name is of a copy that holds running averages.
func isAverage(name string) bool {
	return slices.ContainsFunc(words(name), func(word string) bool {
		return slices.Contains([]string{"ema", "averaged", "shadow", "swa", "exponentialmovingaverage"}, word)
	})
}

// words are the parts of a name.
func words(name string) []string {
	return strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("./_:", r) })
}

// choose sets the prefix, and returns that of the other copy, if there are both.
func (s *source) choose(prefixes []string, plain bool) (other string, both bool, err error) {
	own := slices.DeleteFunc(slices.Clone(prefixes), isAverage)
	averages := slices.DeleteFunc(prefixes, func(p string) bool { return !isAverage(p) })
	first, second := averages, own
	if plain && len(own) > 0 || len(averages) == 0 {
		first, second = own, averages
	}
	if len(first) > 1 {
		return "", false, hinted{fmt.Errorf("has several networks: names begin with %q and with %q", first[0], first[1]), "save only the one to import"}
	}
	s.prefix, s.averages = first[0], isAverage(first[0])
	if len(second) == 0 {
		return "", false, nil
	}
	s.other = "the weights themselves"
	if !s.averages {
		s.other = "moving averages"
	}
	return second[0], true, nil
}

// because says how the names were known.
func (s *source) because() string {
	if s.prefix != "" {
		return fmt.Sprintf("by the name of its stem, after %q", s.prefix)
	}
	return "by the name of its stem"
}

// take puts the tensors below the prefix under their short names, and others under their
// own. Where the averages lack a tensor it is the weights', and the other way round.
func (s *source) take(f *file, places []string, other string, both bool) {
	s.tensors, s.copies = make(map[string]named.Tensor, len(f.tensors)), map[string]string{}
	below := func(i int) bool {
		return strings.HasPrefix(places[i], s.prefix) && (!both || len(other) <= len(s.prefix) || !strings.HasPrefix(places[i], other))
	}
	for i, t := range f.tensors {
		if below(i) {
			s.tensors[places[i][len(s.prefix):]] = t
		}
	}
	for i, t := range f.tensors {
		short, copied := strings.CutPrefix(places[i], other)
		switch {
		case below(i):
		case both && copied && has(s.tensors, short):
			s.copies[t.Name] = short
			s.tensors["\x00"+t.Name] = t
		case both && copied:
			s.tensors[short] = t
		case has(s.tensors, t.Name):
			s.tensors["\x00"+t.Name] = t
		default:
			s.tensors[t.Name] = t
		}
	}
}
