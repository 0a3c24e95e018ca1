package model

import (
	"math"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/scale"
)

// Layers that training leaves as they are: PyTorch's gradients and running
// statistics, and nothing written where there is no gradient.
func TestFrozenEqualsPyTorch(t *testing.T) {
	for _, set := range kernel.Available() {
		for _, name := range []string{"tiny_same", "tiny_v2", "tiny_mobilenetv1", "tiny_resnet"} {
			g := readGolden(t, "testdata/"+name+".json")
			if len(g.Frozen) != 3 {
				t.Fatalf("%s: %d cases, want 3", name, len(g.Frozen))
			}
			for _, f := range g.Frozen {
				frozen := Frozen{Stages: f.Stages, Body: f.Body, Norms: f.Norms}
				b := cpu.NewWith(set, 2)
				net, gradients := runFrozen(t, b, g, frozen)
				var square float64
				for _, p := range f.Gradients {
					square += p.Norm * p.Norm
				}
				for _, p := range net.Params {
					values := gradients[p.Offset:][:p.Len()]
					if frozen.Param(p) {
						if _, has := f.Gradients[p.Name]; has || values[0] != untouched || values[p.Len()-1] != untouched {
							t.Errorf("%s, %+v: %s has a gradient", name, frozen, p.Name)
						}
						continue
					}
					torch := make([]float32, p.Len())
					p.toTorch(torch, values)
					check(t, name+": gradient of "+p.Name, torch, nil, f.Gradients[p.Name], p.Name, gradientTol, 1e-6*math.Sqrt(square))
				}
				tensors, err := net.Tensors()
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range tensors {
					if p, ok := f.Running[x.Name]; ok {
						check(t, name+": "+x.Name, x.Data, nil, p, x.Name, logitsTol, 0)
					}
				}
				b.Close()
			}
		}
	}
}

const untouched = 12345

func runFrozen(t *testing.T, b backend.Backend, g *golden, frozen Frozen) (*Network, []float32) {
	t.Helper()
	net, err := New(g.Arch, b)
	if err == nil {
		err = net.Load(g.tensors())
	}
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, net.Weights.Len)
	for i := range values {
		values[i] = untouched
	}
	gradients, err := backend.NewView(b, len(values))
	if err == nil {
		err = b.Upload(gradients, values)
	}
	if err != nil {
		t.Fatal(err)
	}
	train, err := net.TrainingAt(Pass{Resolution: g.Arch.Resolution, Batch: g.Batch, Frozen: frozen}, gradients)
	if err == nil {
		err = b.Upload(train.Images, g.images())
	}
	if err == nil {
		err = b.Upload(train.Targets, g.targets())
	}
	if err == nil {
		err = train.Run(0)
	}
	if err == nil {
		err = b.Download(values, gradients)
	}
	if err != nil {
		t.Fatal(err)
	}
	return net, values
}

// The classifier alone, on features that were computed before, has the gradients
// that it has in the whole network with the rest frozen.
func TestHeadTrainingEqualsFrozenBody(t *testing.T) {
	for _, name := range []string{"tiny_same", "tiny_mobilenetv1", "tiny_resnet", "relatives/mobilenetv3-small"} {
		t.Run(name, func(t *testing.T) { testHeadTraining(t, readGolden(t, "testdata/"+name+".json")) })
	}
}

func testHeadTraining(t *testing.T, g *golden) {
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	net, whole := runFrozen(t, b, g, Frozen{Body: true})
	eval, err := net.Inference(g.Batch)
	if err == nil {
		err = b.Upload(eval.Images, g.images())
	}
	if err == nil {
		err = eval.Run()
	}
	features := make([]float32, g.Batch*g.Arch.Features())
	if err == nil {
		err = eval.Features(features)
	}
	if err != nil {
		t.Fatal(err)
	}
	gradients, err := backend.NewView(b, net.Weights.Len)
	if err != nil {
		t.Fatal(err)
	}
	train, err := net.HeadTraining(Pass{Batch: g.Batch}, gradients)
	if err == nil {
		err = b.Upload(train.Images, features)
	}
	if err == nil {
		err = b.Upload(train.Targets, g.targets())
	}
	if err == nil {
		err = train.Run(0)
	}
	alone := make([]float32, len(whole))
	if err == nil {
		err = b.Download(alone, gradients)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range whole {
		if v == untouched {
			v = 0
		}
		if d := math.Abs(float64(alone[i] - v)); d > 1e-5 {
			t.Fatalf("value %d is %v, want %v", i, alone[i], v)
		}
	}
	head, err := net.HeadInference(g.Batch)
	if err == nil {
		err = b.Upload(head.Images, features)
	}
	if err == nil {
		err = head.Run()
	}
	want, got := make([]float32, g.Batch*g.Arch.Classes), make([]float32, g.Batch*g.Arch.Classes)
	if err == nil {
		err = eval.Logits(want)
	}
	if err == nil {
		err = head.Logits(got)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Fatalf("logit %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// The mean of an activation map and the class's bias are the class's logit.
func TestClassActivationSumsToTheLogit(t *testing.T) {
	for _, name := range []string{"tiny_same", "tiny_mobilenetv1", "tiny_resnet"} {
		t.Run(name, func(t *testing.T) { testClassActivation(t, readGolden(t, "testdata/"+name+".json")) })
	}
}

// A network with a layer between the pooling and the classifier has no such maps.
func TestNoClassActivationAfterAPooledHead(t *testing.T) {
	arch := tinyMobileNetV3()
	_, err := initialised(t, arch, newCPU(t, 1), 1).Activations()
	const want = "tiny MobileNetV3 has no class activation maps: a layer comes between the pooling and the classifier, which then weighs no maps"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	// What the classifier reads, and what is frozen as the body, include the head.
	for _, p := range initialised(t, arch, newCPU(t, 1), 1).Params {
		if body := (Frozen{Body: true}).Param(p); body == (p.Layer.Name == scale.Classifier) {
			t.Errorf("%s is in the body: %v", p.Name, body)
		}
	}
}

func testClassActivation(t *testing.T, g *golden) {
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	net, _ := g.load(t, b)
	n := g.Arch.Resolution * g.Arch.Resolution * 3
	bias, err := net.download(net.param("classifier.bias"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := net.Activations()
	if err == nil {
		err = a.Run(g.images()[n : 2*n])
	}
	if err != nil {
		t.Fatal(err)
	}
	for class, want := range g.EvalLogits[1] {
		activation := a.Class(class)
		if len(activation) != a.Side*a.Side || a.Side < 2 {
			t.Fatalf("%d values of side %d", len(activation), a.Side)
		}
		sum := 0.0
		for _, v := range activation {
			sum += float64(v)
		}
		if got := sum/float64(len(activation)) + float64(bias[class]); math.Abs(got-float64(want)) > 1e-4 {
			t.Errorf("class %d: %v, want the logit %v", class, got, want)
		}
	}
}
