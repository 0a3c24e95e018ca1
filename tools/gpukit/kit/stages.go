package main

import "time"

// budgets is the time of all stages of a mode together.
var budgets = map[string]time.Duration{"right": 5 * time.Minute, "speed": 4 * time.Minute, "only": 9 * time.Minute}

// emulatedSlower is how many times as long all may take on the emulation.
const emulatedSlower = 3

// stages are all there is, in order of worth: what comes later may find no time left.
var stages = []stage{
	{"doctor", "right speed", 60 * time.Second, "libraries, card, a small network compared with the CPU's", doctor},
	{"suite", "right", 90 * time.Second, "every operation against its definition", tested("TestGPU")},
	{"suite-bf16", "right", 90 * time.Second, "the same with bf16 maps", tested("TestGPUHalf")},
	{"pass", "right", 60 * time.Second, "b0's logits, loss and gradients compared with the CPU's", tested("TestGPUPassIsTheCPUs")},
	{"network", "right", 60 * time.Second, "a small network trains and answers as on the CPU", tested("TestGPUTrainsAsTheCPU", "TestGPUAnswersAsTheCPU")},
	{"curves", "right", 90 * time.Second, "200 steps of b0 in fp32 and bf16 compared with the CPU's", tested("TestGPULossCurve")},
	{"memcheck", "right", 90 * time.Second, "compute-sanitizer: accesses out of bounds", sanitized("memcheck")},
	{"memory", "right", 60 * time.Second, "the memory allocated is the memory planned", tested("TestGPUMemoryIsPlanned")},
	{"bench", "right", 150 * time.Second, "b0 and b4, training and inference, fp32, tf32 and bf16", bench},
	{"peers", "speed", 150 * time.Second, "PyTorch, eager and compiled, compared with effnet", peers},
	{"finetune", "speed", 75 * time.Second, "fine-tuning's accuracy compared with the CPU's", finetune},
	{"ncu", "speed", 90 * time.Second, "Nsight Compute: the five slowest kernels of a step", ncu},
	{"racecheck", "", 5 * time.Minute, "compute-sanitizer: races in shared memory", sanitized("racecheck")},
	{"initcheck", "", 5 * time.Minute, "compute-sanitizer: reads of memory never written", sanitized("initcheck")},
	{"soak", "", 6 * time.Minute, "training for some minutes, interrupted and continued", soak},
}

// what a measurement is made with, on a card and on the emulation.
type sizes struct {
	train, infer   map[string]int // images a step, by network
	image          int            // pixels; 0 for the network's own
	steps, warmups int
	soak           time.Duration
}

func (k *kit) sizes() sizes {
	if k.emulated {
		small := map[string]int{"b0": 2, "b4": 1}
		return sizes{train: small, infer: small, image: 32, steps: 1, warmups: 0, soak: 30 * time.Second}
	}
	batches := map[string]int{"b0": 256, "b4": 64}
	return sizes{train: batches, infer: batches, steps: 5, warmups: 3, soak: 4 * time.Minute}
}
