package serve

import (
	"net/http"
	"slices"
	"strings"
)

// listModels answers GET /v1/models.
func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) error {
	all := make([]description, len(s.models))
	for i, m := range s.models {
		all[i] = m.describe()
	}
	respond(w, http.StatusOK, "application/json", map[string]any{"models": all})
	return nil
}

// describeModel answers GET /v1/models/{model}.
func (s *Server) describeModel(w http.ResponseWriter, r *http.Request) error {
	m := s.model(r.PathValue("model"))
	if m == nil {
		return s.unknown(r.PathValue("model"))
	}
	respond(w, http.StatusOK, "application/json", m.describe())
	return nil
}

// description is what people want to know of a network.
type description struct {
	Name         string   `json:"name"`
	Architecture string   `json:"architecture"`
	Resolution   int      `json:"resolution"`
	Classes      []string `json:"classes"`
	Labels       []string `json:"labels,omitempty"`
	CAM          bool     `json:"cam"` // whether it has class activation maps
	Top1         float64  `json:"top1,omitempty"`
}

func (m *model) describe() description {
	p := m.current.Load()
	meta := p.Meta()
	d := description{Name: m.Name, Architecture: meta.Arch.Name, Resolution: meta.Preprocess.Resolution, Classes: meta.Classes, Labels: meta.Labels, CAM: p.CanActivate() == nil}
	if meta.Training != nil {
		d.Top1 = meta.Training.Top1
	}
	return d
}

// model finds a network by its name; nil for none.
func (s *Server) model(name string) *model {
	if i := slices.IndexFunc(s.models, func(m *model) bool { return m.Name == name }); i >= 0 {
		return s.models[i]
	}
	return nil
}

func (s *Server) unknown(name string) error {
	names := make([]string, len(s.models))
	for i, m := range s.models {
		names[i] = m.Name
	}
	return problemf(http.StatusNotFound, "no network is called %q: there is %s", name, strings.Join(names, ", "))
}
