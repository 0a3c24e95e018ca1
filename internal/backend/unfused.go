package backend

// EachStep goes through what a fused Spec stands for: it calls do with each step's Spec
// and operands. own are those of the fused Spec. The others are made by temporary,
// all before the first do; it is given the number that the steps have for it, and the
// number of values.
func EachStep[T any](steps []Step, own []T, temporary func(number, size int) (T, error), do func(Spec, []T) error) error {
	all := map[int]T{}
	for i, o := range own {
		all[i] = o
	}
	for _, step := range steps {
		for k, o := range step.Spec.Operands() {
			n := step.Operands[k]
			if _, ok := all[n]; ok {
				continue
			}
			made, err := temporary(n, o.Size)
			if err != nil {
				return err
			}
			all[n] = made
		}
	}
	for _, step := range steps {
		operands := make([]T, len(step.Operands))
		for k, n := range step.Operands {
			operands[k] = all[n]
		}
		if err := do(step.Spec, operands); err != nil {
			return err
		}
	}
	return nil
}

// StepTypes are the types of all operands of steps, by their numbers, on a backend that
// keeps maps as a type: own are those of the fused Spec's.
func StepTypes(steps []Step, kept DType, own []DType) map[int]DType {
	all := map[int]DType{}
	for i, t := range own {
		all[i] = t
	}
	for _, step := range steps {
		types := make([]DType, len(step.Operands))
		for k, n := range step.Operands {
			types[k] = all[n]
		}
		SetTypes(step.Spec, kept, types)
		for k, n := range step.Operands {
			if _, given := all[n]; !given {
				all[n] = types[k]
			}
		}
	}
	return all
}

// CompileUnfused compiles a fused Spec as what it stands for, for a backend that has
// nothing better. Temporaries are float32 in memory of the Program's own.
func CompileUnfused(b Backend, spec Fused, operands ...View) (Program, error) {
	var programs []Program
	temporary := func(_, size int) (View, error) { return NewView(b, size) }
	err := EachStep(spec.Unfused(), operands, temporary, func(spec Spec, operands []View) error {
		p, err := b.Compile(spec, operands...)
		programs = append(programs, p)
		return err
	})
	if err != nil {
		return Program{}, err
	}
	return Program{Run: func() {
		for _, p := range programs {
			p.All()
		}
	}}, nil
}
