package weights

import (
	"fmt"
	"slices"
	"strings"

	"effnet/internal/named"
)

// Words of the names of tensors that training keeps and inference does without. A counter
// is one number, whose name ends in one of these.
var (
	counters = []string{"num_batches_tracked", "n_averaged", "global_step", "step", "steps", "epoch", "decay", "num_updates", "updates", "initted", "iteration",
		"iterations", "count", "learning_rate", "beta1_power", "beta2_power", "save_counter", "total_ops", "total_params"}
	training = []string{"optimizer", "optimizers", "criterion", "loss", "metric", "metrics"}
)

// spare says whether a tensor is known to take no part in what the network computes: a
// counter, state of an optimizer, what a loss is made of.
func (s *source) spare(t named.Tensor) bool {
	if _, copied := s.copies[t.Name]; copied {
		return true
	}
	name := strings.ToLower(place(t.Name))
	last := name[strings.LastIndexAny(name, "./")+1:]
	first := words(name[:len(name)-len(last)])
	return len(t.Data) <= 1 && slices.Contains(counters, last) ||
		last == "total_ops" || last == "total_params" ||
		len(first) > 0 && slices.Contains(training, first[0]) ||
		slices.Contains(first, "optimizer") ||
		last == "_checkpointable_object_graph"
}

// besides says whether a tensor's name is that of a variable and one more: TensorFlow calls
// the slots of its optimizers so.
func (s *source) besides(t named.Tensor, used map[string]bool) bool {
	for at := strings.LastIndexByte(t.Name, '/'); at > 0; at = strings.LastIndexByte(t.Name[:at], '/') {
		short, copied := s.copies[t.Name[:at]]
		if used[t.Name[:at]] || copied && used[s.tensors[short].Name] {
			return true
		}
	}
	return false
}

// leftOver is the error of a file with tensors that take part in the computation but have
// no place in the network.
func leftOver(arch string, names []string) error {
	const few = 4
	list := make([]string, 0, few)
	for _, name := range names[:min(few, len(names))] {
		list = append(list, printable(name))
	}
	text := strings.Join(list, ", ")
	if len(names) > few {
		text += fmt.Sprintf(" and %d more", len(names)-few)
	}
	return hinted{fmt.Errorf("has tensors that %s does not have, without which it would compute something else: %s", arch, text),
		"only the published networks with one dense layer after the pooling are known; delete tensors that the network does not use from the file"}
}

// printable is a name out of a file, quoted where it would not do as it is.
func printable(name string) string {
	if quoted := fmt.Sprintf("%.100q", name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
