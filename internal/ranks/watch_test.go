package ranks

import (
	"testing"
	"time"
)

// An exchange may take ten steps, as long as this rank was busy before it, and what is
// allowed on top.
func TestLimit(t *testing.T) {
	g := New(Local(1)[0], Options{Timeout: time.Minute})
	if got := g.limit(); got != time.Minute {
		t.Errorf("at the start %v", got)
	}
	for i := range 100 {
		g.steps.add(time.Duration(i) * time.Second) // the last 31: 69 to 99
	}
	if got := g.limit(); got != 840*time.Second {
		t.Errorf("after long steps %v", got)
	}
	g.Allow(time.Second)
	if got := g.limit(); got != 841*time.Second {
		t.Errorf("with what is allowed %v", got)
	}
	g.left = time.Now().Add(-time.Hour)
	if got := g.limit(); got < time.Hour || got > 2*time.Hour {
		t.Errorf("after an hour of work %v", got)
	}
	g.opt.Timeout = -1
	if got := g.limit(); got != 0 {
		t.Errorf("without a watch %v", got)
	}
}
