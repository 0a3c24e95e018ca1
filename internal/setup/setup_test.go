package setup

import (
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/config"
)

// What decides a run's numbers is in its identity, or in its architecture.
func TestIdentityHasEverySettingThatDecides(t *testing.T) {
	facts := map[string]string{}
	for _, f := range identity(config.Default()) {
		if s, _ := config.Lookup(f.Key); f.Value != f.Default && f.Default != s.Before {
			t.Errorf("%s is %s by default, and is to be %s where it is missing", f.Key, f.Value, f.Default)
		}
		facts[f.Key] = f.Value
	}
	for _, s := range config.Settings() {
		if _, ok := facts[s.Key]; ok != (s.Effect == config.Numbers) {
			t.Errorf("%s, of effect %q: in the identity is %v", s.Key, s.Effect, ok)
		}
	}
}

// The settings that a checkpoint lays over others are those that the table says its
// weights decide, but for the network.
func TestPreparedIsOfTheTable(t *testing.T) {
	values := Prepared(config.Default(), checkpoint.Meta{})
	for _, s := range config.Settings() {
		described := s.OfWeights() && s.Chooses == "" && !s.Of("bench") // the network's are bench's too
		if _, ok := values[s.Key]; ok != described && s.Key != "img-size" {
			t.Errorf("%s: from a checkpoint is %v, want %v", s.Key, ok, described)
		}
	}
}
