package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// The Open Inference Protocol, version 2, over HTTP, with Triton's extensions for binary
// tensors, classification and the model's configuration:
// https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
// https://github.com/triton-inference-server/server/tree/main/docs/protocol

// version is that of every network: a server has one of each.
const version = "1"

// named is the model that a request's address names.
func (s *Server) named(r *http.Request) (*model, error) {
	m := s.model(r.PathValue("model"))
	if m == nil {
		return nil, s.unknown(r.PathValue("model"))
	}
	if v := r.PathValue("version"); v != "" && v != version {
		return nil, problemf(http.StatusNotFound, "%s has no version %q: there is %s", m.Name, v, version)
	}
	return m, nil
}

func (s *Server) v2Server(w http.ResponseWriter, _ *http.Request) error {
	respond(w, http.StatusOK, "application/json", map[string]any{
		"name": "effnet", "version": s.opt.Version, "extensions": []string{"classification", "model_configuration", "model_repository", "binary_tensor_data"},
	})
	return nil
}

func (s *Server) v2Index(w http.ResponseWriter, _ *http.Request) error {
	all := make([]map[string]string, len(s.models))
	for i, m := range s.models {
		all[i] = map[string]string{"name": m.Name, "version": version, "state": "READY"}
	}
	respond(w, http.StatusOK, "application/json", all)
	return nil
}

func (s *Server) v2Unknown(_ http.ResponseWriter, r *http.Request) error {
	return problemf(http.StatusNotFound, "%s %s is not part of what this server does", r.Method, r.URL.Path)
}

func (s *Server) v2ModelReady(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.named(r); err != nil {
		return err
	}
	return s.isReady(w, r)
}

// v2Model describes a network's tensors.
func (s *Server) v2Model(w http.ResponseWriter, r *http.Request) error {
	m, err := s.named(r)
	if err != nil {
		return err
	}
	describe := func(t tensorType) map[string]any {
		return map[string]any{"name": t.name, "datatype": t.datatype, "shape": append([]int{-1}, t.shape...)}
	}
	meta := m.current.Load().Meta()
	respond(w, http.StatusOK, "application/json", map[string]any{
		"name": m.Name, "versions": []string{version}, "platform": "effnet",
		"inputs": describeAll(inputs(meta), describe), "outputs": describeAll(outputs(meta), describe),
	})
	return nil
}

// v2Config describes a network as Triton's configuration does.
func (s *Server) v2Config(w http.ResponseWriter, r *http.Request) error {
	m, err := s.named(r)
	if err != nil {
		return err
	}
	describe := func(t tensorType) map[string]any {
		kind := "TYPE_" + t.datatype
		if t.datatype == "BYTES" {
			kind = "TYPE_STRING"
		}
		return map[string]any{"name": t.name, "data_type": kind, "dims": t.shape}
	}
	meta := m.current.Load().Meta()
	in := describeAll(inputs(meta), describe)
	for _, input := range in {
		input["optional"] = true // one of them is wanted
	}
	respond(w, http.StatusOK, "application/json", map[string]any{
		"name": m.Name, "platform": "effnet", "backend": "effnet", "max_batch_size": m.limit,
		"input": in, "output": describeAll(outputs(meta), describe), "dynamic_batching": map[string]any{},
	})
	return nil
}

func describeAll(all []tensorType, describe func(tensorType) map[string]any) []map[string]any {
	described := make([]map[string]any, len(all))
	for i, t := range all {
		described[i] = describe(t)
	}
	return described
}

// inference is the JSON of a request for inference.
type inference struct {
	ID         string     `json:"id"`
	Parameters parameters `json:"parameters"`
	Inputs     []tensor   `json:"inputs"`
	Outputs    []wanted   `json:"outputs"`
}

// parameters are those of a request, of a tensor, or of an output that is wanted.
type parameters struct {
	Timeout        json.Number `json:"timeout,omitempty"` // microseconds
	BinaryOutput   bool        `json:"binary_data_output,omitempty"`
	Binary         bool        `json:"binary_data,omitempty"`
	BinarySize     *int64      `json:"binary_data_size,omitempty"`
	Classification int         `json:"classification,omitempty"` // how many classes
}

// wanted is an output that is asked for.
type wanted struct {
	Name       string     `json:"name"`
	Parameters parameters `json:"parameters"`
}

// headerLength is where a body's JSON ends and binary tensors begin.
const headerLength = "Inference-Header-Content-Length"

// v2Infer answers a request for inference.
func (s *Server) v2Infer(w http.ResponseWriter, r *http.Request) error {
	m, err := s.named(r)
	if err != nil {
		return err
	}
	body, release, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer release()
	request, binary, err := parseInference(r.Header.Get(headerLength), body)
	if err != nil {
		return err
	}
	ctx, cancel, err := deadline(r.Context(), request.Parameters.Timeout)
	if err != nil {
		return err
	}
	defer cancel()
	meta := m.current.Load().Meta()
	outputs, err := chosen(outputs(meta), request)
	if err != nil {
		return err
	}
	requests, err := read(inputs(meta), request, binary)
	if err != nil {
		return err
	}
	for i := range requests {
		requests[i].Features = wants(outputs, "features")
	}
	answers, p, err := m.ask(ctx, requests)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if a.err != nil {
			return a.err
		}
	}
	return reply(w, r, m.Name, request.ID, outputs, answers, p)
}

// parseInference takes a body apart: its JSON, and the binary tensors after it.
func parseInference(length string, body []byte) (request inference, binary []byte, err error) {
	text := body
	if length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(body) {
			return request, nil, problemf(http.StatusBadRequest, "%s is %q, and the body has %d bytes", headerLength, length, len(body))
		}
		text, binary = body[:n], body[n:]
	}
	if err := json.Unmarshal(text, &request); err != nil {
		return request, nil, problemf(http.StatusBadRequest, "the request is not the protocol's JSON: %v", err)
	}
	return request, binary, nil
}

// deadline bounds a request by its own timeout, in microseconds; 0 and "" are none.
func deadline(ctx context.Context, timeout json.Number) (context.Context, context.CancelFunc, error) {
	if timeout == "" {
		timeout = "0"
	}
	us, err := strconv.ParseInt(timeout.String(), 10, 64)
	if err != nil || us < 0 {
		return nil, nil, problemf(http.StatusBadRequest, "timeout %s: want microseconds", timeout)
	}
	if us == 0 || us > int64(24*time.Hour/time.Microsecond) {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(us)*time.Microsecond)
	return ctx, cancel, nil
}
