package serve

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// openapi.yaml describes every route, and no other.
func TestOpenAPI(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := yaml.Unmarshal(openapiText, &doc); err != nil {
		t.Fatal(err)
	}
	var described, routed []string
	for path, methods := range doc.Paths {
		for method, text := range methods {
			if method == "parameters" {
				continue
			}
			security, closed := text.(map[string]any)["security"].([]any)
			line := strings.ToUpper(method) + " " + path
			if closed && len(security) == 0 {
				line += " open"
			}
			described = append(described, line)
		}
	}
	for _, r := range server(t).table() {
		if r.pattern == "/v2/" {
			continue
		}
		line := strings.Replace(r.pattern, "{$}", "", 1)
		if r.open {
			line += " open"
		}
		routed = append(routed, line)
	}
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("described:\n%s\nrouted:\n%s", strings.Join(described, "\n"), strings.Join(routed, "\n"))
	}
}

// The document is one that tools understand.
func TestOpenAPIIsValid(t *testing.T) {
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" || exec.CommandContext(t.Context(), python, "-c", "import openapi_spec_validator").Run() != nil {
		t.Skip("set EFFNET_PYTHON to a Python with openapi-spec-validator")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-m", "openapi_spec_validator", "openapi.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
