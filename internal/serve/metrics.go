package serve

import (
	"net/http"
	"strconv"
	"time"

	"effnet/internal/predict"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what GET /metrics tells Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	images   *prometheus.CounterVec
	batches  *prometheus.HistogramVec
	passes   *prometheus.CounterVec
	reloads  *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "effnet_requests_total", Help: "Requests that were answered."}, []string{"route", "status"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "effnet_request_seconds", Help: "Time from a request's header to its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
	}, []string{"route"})
	m.images = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "effnet_images_total", Help: "Images that were computed."}, []string{"model"})
	m.batches = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "effnet_batch_images", Help: "Images that were computed together.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
	}, []string{"model"})
	m.passes = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "effnet_compute_seconds_total", Help: "Time that passes took."}, []string{"model"})
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "effnet_reloads_total", Help: "Reloads of networks."}, []string{"model", "result"})
	m.registry.MustRegister(m.requests, m.seconds, m.images, m.batches, m.passes, m.reloads,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds what a running server is asked for when Prometheus asks.
func (m *metrics) watch(c *conns, s *Server) {
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	gauge("effnet_connections", "Connections that are open.", nil, func() float64 { open, _ := c.numbers(); return float64(open) })
	gauge("effnet_connections_closed", "Connections that were closed for lack of room.", nil, func() float64 { _, closed := c.numbers(); return float64(closed) })
	gauge("effnet_body_bytes", "Bytes of requests' bodies in memory.", nil, func() float64 { return float64(s.bodies.Load()) })
	for _, model := range s.models {
		of := prometheus.Labels{"model": model.Name}
		gauge("effnet_queue_images", "Images that are accepted and not yet answered.", of, func() float64 { n, _ := model.current.Load().Load(); return float64(n) })
		gauge("effnet_queue_limit", "Images that may be accepted and not yet answered.", of, func() float64 { return float64(model.limit) })
	}
}

// observe notes a network's passes.
func (m *metrics) observe(model string) func(predict.Computed) {
	images, batches, seconds := m.images.WithLabelValues(model), m.batches.WithLabelValues(model), m.passes.WithLabelValues(model)
	return func(c predict.Computed) {
		images.Add(float64(c.Images))
		batches.Observe(float64(c.Images))
		seconds.Add(c.Time.Seconds())
	}
}

// answered notes a request.
func (m *metrics) answered(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// reloaded notes that a network was loaded again, or could not be.
func (m *metrics) reloaded(model string, err error) {
	result := "loaded"
	if err != nil {
		result = "refused"
	}
	m.reloads.WithLabelValues(model, result).Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
