package hub

import (
	"errors"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
)

// A name that is nearly one says which one was meant.
func TestMistypedNames(t *testing.T) {
	for name, want := range map[string]string{
		"timm/tf_efficientnet_lit0":         "did you mean timm/tf_efficientnet_lite0.in1k? ",
		"timm/tf_efficientnet_lit0.in1k":    "did you mean timm/tf_efficientnet_lite0.in1k? ",
		"tim/tf_efficientnet_lite0":         "did you mean timm/tf_efficientnet_lite0.in1k? ",
		"TIMM/tf_efficientnet_lite0":        "did you mean timm/tf_efficientnet_lite0.in1k? ",
		"tf_efficientnet_lite0":             "did you mean timm/tf_efficientnet_lite0.in1k? ",
		"lite0":                             "did you mean timm/efficientnet_lite0.ra_in1k or timm/tf_efficientnet_lite0.in1k or tensorflow/efficientnet-lite0? ",
		"timm/vit_base_patch16_224":         "",
		"zz":                                "",
		"":                                  "",
		"runs/first/best.safetensors":       "",
		"nothing.safetensors":               "",
		"timm/efficientnet_b0@":             "after @ comes",
		"keras/efficientnetb0@main":         "leave out the @",
		"timm/tf_efficientnet_lite0.in21k":  "effnet weights list shows all",
		"timm/tf_efficientnet_lite0@../../": "after @ comes",
	} {
		_, err := Find(name)
		e, ok := errors.AsType[*checkpoint.Error](err)
		if !ok || !strings.HasPrefix(e.Hint, want) || want == "" && strings.Contains(e.Hint, "did you mean") {
			t.Errorf("%q: %v (%s), want %q", name, err, hintOf(e), want)
		}
	}
}
