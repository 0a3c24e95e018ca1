package model

import "testing"

// A profile covers the whole pass and says which layer each launch belongs to.
func TestProfile(t *testing.T) {
	b := newCPU(t, 2)
	arch := tinyArch()
	net := initialised(t, arch, b, 1)
	train, err := net.Training(batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	infer, err := net.Inference(batch)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, b, arch, train)
	if err := train.Run(1); err != nil {
		t.Fatal(err)
	}
	loss, err := train.Loss()
	if err != nil {
		t.Fatal(err)
	}
	timings, err := train.Profile(2)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := train.Loss(); err != nil || again != loss {
		t.Errorf("loss %v before the profile, %v after, error %v", loss, again, err)
	}
	checkProfile(t, "training", timings, len(train.Specs()), map[[2]string]bool{
		{"Conv2D", "conv_stem"}:                           true,
		{"BatchStats", "bn1"}:                             true,
		{"NormAct", "bn1"}:                                true,
		{"ExpandGrad", "conv_head"}:                       true,
		{"DepthwiseGrad", "blocks.0.1.conv_dw"}:           true,
		{"Dense", "classifier"}:                           true,
		{"RunningStats", "running statistics"}:            true,
		{"SoftmaxCrossEntropy", "SoftmaxCrossEntropy ()"}: true,
	})
	if timings, err = infer.Profile(1); err != nil {
		t.Fatal(err)
	}
	checkProfile(t, "inference", timings, len(infer.Specs()), map[[2]string]bool{
		{"FoldedConv", "conv_stem"}: true, {"FoldedDepthwise", "blocks.1.0.conv_pw"}: true, {"SqueezeExcite", "blocks.1.0.se.conv_reduce"}: true,
		{"FoldedMatMul", "conv_head"}: true, {"Linear", "classifier"}: true,
	})
}

// checkProfile fails unless there are that many timings, and of every op in want its
// layer is among them.
func checkProfile(t *testing.T, what string, timings []Timing, specs int, want map[[2]string]bool) {
	t.Helper()
	if len(timings) != specs {
		t.Errorf("%s: %d timings of %d Specs", what, len(timings), specs)
	}
	var sum float64
	for _, x := range timings {
		delete(want, [2]string{x.Op, x.Layer})
		sum += x.Seconds
	}
	if !(sum > 0 && sum < 60) {
		t.Errorf("%s: %v seconds", what, sum)
	}
	if len(want) > 0 {
		t.Errorf("%s: without %v of %+v", what, want, timings)
	}
}
