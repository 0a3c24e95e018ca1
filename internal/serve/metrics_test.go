package serve

import (
	"strings"
	"testing"
)

// count is the sum of a metric's values.
func (m *metrics) count(t testing.TB, name string) (sum float64) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, metric := range f.GetMetric() {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func TestMetrics(t *testing.T) {
	s := server(t)
	for range 3 {
		exchange(s.Handler(), "POST", "/v1/classify", nil, photo(t, 1))
	}
	exchange(s.Handler(), "POST", "/v1/classify", nil, nil)
	text := exchange(s.Handler(), "GET", "/metrics", nil, nil).Body.String()
	for _, want := range []string{
		`effnet_requests_total{route="POST /v1/classify",status="200"} 3`, `effnet_requests_total{route="POST /v1/classify",status="400"} 1`,
		`effnet_images_total{model="a"} 4`, `effnet_batch_images_count{model="a"} 4`, `effnet_request_seconds_count{route="POST /v1/classify"} 4`, "go_goroutines ",
	} {
		if !strings.Contains(text, want+"\n") && !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
