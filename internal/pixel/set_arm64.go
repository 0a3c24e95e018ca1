package pixel

func vectorSets() []*Set { return []*Set{{Name: "neon", c: &neonKernels, wide: 8}} }
