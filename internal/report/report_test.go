package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func step(n int) Step {
	return Step{
		Epoch: 1, Epochs: 2, Step: n, Steps: 5, Loss: 1.25, Top1: .5, LR: .01,
		ImagesPerSec: 42.04, DataWait: .015, Left: 62 * time.Second,
	}
}

func TestLogLines(t *testing.T) {
	var out strings.Builder
	l := NewLog(&out, nil, 2, false)
	for n := 1; n <= 5; n++ {
		l.Step(step(n))
	}
	l.Printf("done %d", 1)
	line := func(n string) string {
		return "epoch 1/2  step " + n + "/5  loss 1.2500  top-1 50.00%  lr 0.01  42.0 images/s  data wait 1.5%  1m2s left\n"
	}
	if want := line("2") + line("4") + line("5") + "done 1\n"; out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

// Where ranks exchange data, steps and epochs say how much of the time that takes.
func TestSums(t *testing.T) {
	var out strings.Builder
	l := NewLog(&out, nil, 1, false)
	s := step(2)
	s.Exchange = 0.0312
	l.Step(s)
	l.Epoch(Epoch{Epoch: 1, Seconds: 4, Exchange: 0.0312}, 2, true, true)
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"data wait 1.5%  sums 3.1%  1m2s left", "     time    sums", "       4s    3.1%"} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %d is %q, want %q at its end", i, lines[i], want)
		}
	}
}

// On a terminal one line is drawn over, and what follows starts on its own.
func TestLiveLine(t *testing.T) {
	var out strings.Builder
	l := NewLog(&out, func() int { return 200 }, 1000, false)
	l.Step(step(1))
	l.Step(step(5))
	l.Printf("done")
	if got := strings.Count(out.String(), "\r\x1b[K"); got != 2 {
		t.Errorf("%d redraws, want 2", got)
	}
	if !strings.HasSuffix(out.String(), "left\ndone\n") {
		t.Errorf("printed %q", out.String())
	}
}

// On a narrow terminal the time left stays when other numbers go, and the line
// never fills the last column.
func TestStepFits(t *testing.T) {
	for width, want := range map[int]string{
		81: "epoch 1/2  step 3/5  loss 1.2500  top-1 50.00%  lr 0.01  42.0 images/s  1m2s left",
		80: "epoch 1/2  step 3/5  loss 1.2500  top-1 50.00%  42.0 images/s  1m2s left",
		40: "epoch 1/2  step 3/5  1m2s left",
		29: "epoch 1/2  step 3/5",
		4:  "epoc",
		-1: "",
	} {
		if got := step(3).fit(width); got != want {
			t.Errorf("in %d characters: %q, want %q", width, got, want)
		}
	}
	var out strings.Builder
	NewLog(&out, func() int { return 30 }, 1, false).Step(step(3))
	if want := "\r\x1b[Kepoch 1/2  step 3/5"; out.String() != want {
		t.Errorf("on a terminal of 30: %q, want %q", out.String(), want)
	}
}

// On a terminal the rows of epochs take the live line's place.
func TestEpochsOverTheLiveLine(t *testing.T) {
	var out strings.Builder
	l := NewLog(&out, func() int { return 20 }, 1, false)
	for e := 1; e <= 2; e++ {
		l.Step(step(5))
		l.Epoch(Epoch{Epoch: e}, 2, false, false)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || strings.Count(out.String(), "train loss") != 1 {
		t.Errorf("printed %q, want a header and two rows", lines)
	}
	for _, row := range lines[1:3] {
		if at := strings.LastIndex(row, "\x1b[K"); strings.Contains(row[at+1:], "step") {
			t.Errorf("row %q stands after a live line", row)
		}
	}
}

func TestQuiet(t *testing.T) {
	var out strings.Builder
	l := NewLog(&out, func() int { return 200 }, 1, true)
	l.Step(step(1))
	l.Printf("done")
	if out.Len() != 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1400 * time.Millisecond: "1s", 61 * time.Second: "1m1s", 3*time.Hour + 5*time.Second: "3h00m05s",
	} {
		if got := clock(d); got != want {
			t.Errorf("clock(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestWriteCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.csv")
	epochs := []Epoch{{Epoch: 1, Step: 10, LR: .1, TrainLoss: 2, TrainTop1: .25, ValLoss: 1.5, ValTop1: .5, ValTop5: 1, Seconds: 3, DataWait: .01}}
	if err := WriteCSV(path, epochs); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "epoch,step,lr,train_loss,train_top1,val_loss,val_top1,val_top5,ema_loss,ema_top1,seconds,data_wait,images_per_sec\n1,10,0.1,2,0.25,1.5,0.5,1,0,0,3,0.01,0\n"
	if string(got) != want {
		t.Errorf("wrote\n%s\nwant\n%s", got, want)
	}
	if err := WriteCSV(filepath.Join(t.TempDir(), "no", "such"), epochs); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

func TestCount(t *testing.T) {
	c := Count{Verb: "packed", Done: 30, Total: 120, Elapsed: 2 * time.Second}
	if got, want := c.String(), "packed 30/120 images  15.0 images/s  6s left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for terminal, want := range map[bool]string{
		false: "packed 2/2 images  1.0 images/s  0s left\n",
		true:  "\r\x1b[Kpacked 1/2 images  0.5 images/s  2s left\r\x1b[Kpacked 2/2 images  1.0 images/s  0s left\n", // one place short of the width,
	} {
		var b bytes.Buffer
		var width func() int
		if terminal {
			width = func() int { return 41 }
		}
		log := NewLog(&b, width, 1, false)
		for done := 1; done <= 2; done++ {
			log.Count(Count{Verb: "packed", Done: done, Total: 2, Elapsed: 2 * time.Second})
		}
		if b.String() != want {
			t.Errorf("on a terminal %v: %q, want %q", terminal, b.String(), want)
		}
	}
	var b bytes.Buffer
	if NewLog(&b, func() int { return 200 }, 1, true).Count(c); b.Len() > 0 {
		t.Errorf("quiet: %q", b.String())
	}
}

func TestTransfer(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		t    Transfer
		want string
	}{
		{Transfer{What: "w", Done: mib, Total: 4 * mib, Got: mib, Elapsed: time.Second}, "w  1.0/4.0 MiB  1.0 MiB/s  3s left"},
		{Transfer{What: "w", Done: 3 * mib, Total: 4 * mib, Got: mib, Elapsed: time.Second}, "w  3.0/4.0 MiB  1.0 MiB/s  1s left"},
		{Transfer{What: "w", Done: 4 * mib, Total: 4 * mib, Got: mib, Elapsed: time.Millisecond}, "w  4.0/4.0 MiB"},
		{Transfer{What: "w", Done: mib, Total: -1, Got: mib, Elapsed: 2 * time.Second}, "w  1.0 MiB  0.5 MiB/s"},
	} {
		if got := c.t.String(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.t, got, c.want)
		}
	}
	var b strings.Builder
	NewLog(&b, nil, 1, false).Transfer(Transfer{What: "w", Done: mib, Total: mib})
	if b.String() != "w  1.0/1.0 MiB\n" {
		t.Errorf("%q", b.String())
	}
}

func TestEpochTable(t *testing.T) {
	var out strings.Builder
	l := NewLog(&out, nil, 1, false)
	e := Epoch{Epoch: 1, TrainLoss: 2.5, TrainTop1: 0.25, ValLoss: 1.5, ValTop1: 0.5, ValTop5: 1, EMATop1: 0.55, LR: 0.016, ImagesPerSec: 1234.56, DataWait: 0.015, Seconds: 83}
	l.Epoch(e, 40, true, true)
	e.Epoch = 2
	l.Epoch(e, 40, true, true)
	want := "    epoch  train loss    top-1   val loss    top-1    top-5  EMA top-1         lr  images/s    wait     time\n" +
		"     1/40      2.5000   25.00%     1.5000   50.00%  100.00%     55.00%      0.016    1234.6    1.5%    1m23s\n" +
		"     2/40      2.5000   25.00%     1.5000   50.00%  100.00%     55.00%      0.016    1234.6    1.5%    1m23s\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
	for range headerEvery - 1 {
		l.Epoch(e, 40, true, true)
	}
	if got := strings.Count(out.String(), "train loss"); got != 2 {
		t.Errorf("%d headers over %d rows, want 2", got, headerEvery+1)
	}
	out.Reset()
	l.Printf("something else")
	e.Epoch, e.TrainLoss = 21, 658972490154.6666
	l.Epoch(e, 40, false, false)
	want = "something else\n    epoch  train loss    top-1         lr  images/s    wait     time\n" +
		"    21/40    6.59e+11   25.00%      0.016    1234.6    1.5%    1m23s\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
