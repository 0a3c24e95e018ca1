package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"effnet/internal/predict"
)

// upload is an image file that a request brings.
type upload struct {
	Name string `json:"name"`
	Data []byte `json:"data"` // base64 in JSON
}

// question is what a request asks of all its images.
type question struct {
	model    *model
	topK     int
	class    string // to draw: of cam; "" for none
	features bool
	timeout  time.Duration // 0 for the server's
}

// classify answers POST /v1/classify.
func (s *Server) classify(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r.URL.Query())
	if err != nil {
		return err
	}
	body, release, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer release()
	uploads, err := uploadsOf(r.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if q.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.timeout)
		defer cancel()
	}
	requests, err := q.requests(uploads)
	if err != nil {
		return err
	}
	answers, p, err := q.model.ask(ctx, requests)
	if err != nil {
		return err
	}
	if len(answers) == 1 && answers[0].err != nil {
		return answers[0].err
	}
	reply := classified{Model: q.model.Name}
	for i, a := range answers {
		result, err := q.result(uploads[i].Name, a, p)
		if err != nil {
			return err
		}
		reply.Results = append(reply.Results, result)
	}
	respond(w, http.StatusOK, "application/json", reply)
	return nil
}

// question reads the parameters of a request's query string.
func (s *Server) question(v url.Values) (q question, err error) {
	q = question{model: s.models[0], topK: 5}
	for name, values := range v {
		value := values[len(values)-1]
		switch name {
		case "model":
			if q.model = s.model(value); q.model == nil {
				err = s.unknown(value)
			}
		case "topk":
			if q.topK, err = strconv.Atoi(value); err != nil || q.topK < 0 {
				err = problemf(http.StatusBadRequest, "topk=%s: want a number of classes, 0 for all", value)
			}
		case "cam":
			q.class = value
		case "features":
			if q.features, err = strconv.ParseBool(value); err != nil {
				err = problemf(http.StatusBadRequest, "features=%s: want true or false", value)
			}
		case "timeout":
			if q.timeout, err = time.ParseDuration(value); err != nil || q.timeout <= 0 {
				err = problemf(http.StatusBadRequest, "timeout=%s: want a time such as 500ms", value)
			}
		default:
			err = problemf(http.StatusBadRequest, "unknown parameter %s: want model, topk, cam, features or timeout", name)
		}
		if err != nil {
			return question{}, err
		}
	}
	return q, nil
}

// requests asks about the images.
func (q *question) requests(uploads []upload) ([]predict.Request, error) {
	r := predict.Request{Features: q.features}
	if q.class != "" && q.class != "false" {
		class, err := q.model.class(q.class)
		if err != nil {
			return nil, err
		}
		r.Activations = []int{class}
	}
	all := slices.Repeat([]predict.Request{r}, len(uploads))
	for i, u := range uploads {
		all[i].Image = predict.Bytes(u.Name, u.Data)
	}
	return all, nil
}

// class finds a class by its name, by its index, or, for true, the likeliest.
func (m *model) class(name string) (int, error) {
	classes := m.current.Load().Meta().Classes
	if i := slices.Index(classes, name); i >= 0 {
		return i, nil
	}
	if name == "true" {
		return predict.Likeliest, nil
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(classes) {
		return i, nil
	}
	return 0, problemf(http.StatusBadRequest, "cam=%s: want true for the likeliest class, or a class's name or number", name)
}

// classified is the answer of POST /v1/classify.
type classified struct {
	Model   string   `json:"model"`
	Results []result `json:"results"` // in the order of the images
}

type result struct {
	Name        string       `json:"name,omitempty"`
	Predictions []prediction `json:"predictions,omitempty"` // the likeliest first
	CAM         *cam         `json:"cam,omitempty"`
	Features    []float32    `json:"features,omitempty"`
	Error       string       `json:"error,omitempty"` // why there is nothing else
}

// prediction is as effnet predict --json prints one.
type prediction struct {
	Class       string  `json:"class"`
	Label       string  `json:"label,omitempty"`
	Index       int     `json:"index"`
	Probability float64 `json:"probability"`
}

// cam is a class activation map, over the picture as the network sees it.
type cam struct {
	Class   string    `json:"class"`
	Index   int       `json:"index"`
	Side    int       `json:"side"`
	Values  []float32 `json:"values"`  // [side,side], row by row
	Picture []byte    `json:"picture"` // PNG; base64 in JSON
}

// result is an image's, of several: one that cannot be used does not harm the others.
func (q *question) result(name string, a answer, p *predict.Predictor) (result, error) {
	r := result{Name: name}
	if a.err != nil {
		problem := problemOf(a.err)
		if problem.status == http.StatusInternalServerError {
			return r, a.err
		}
		r.Error = problem.detail
		return r, nil
	}
	for _, c := range a.Heads[0].Top(q.topK) {
		r.Predictions = append(r.Predictions, prediction{c.Name, c.Label, c.Index, c.Score})
	}
	r.Features = a.Features
	if len(a.Activations) > 0 {
		found := a.Activations[0]
		var picture bytes.Buffer
		fast := png.Encoder{CompressionLevel: png.BestSpeed}
		if err := fast.Encode(&picture, a.Picture); err != nil {
			return r, fmt.Errorf("serve: %w", err)
		}
		r.CAM = &cam{p.Meta().Classes[found.Class], found.Class, found.Side, found.Values, picture.Bytes()}
	}
	return r, nil
}

// uploadsOf finds the images of a body: itself, the files of a multipart form, or those of
// {"images":[{"name":...,"data":base64}]}.
func uploadsOf(contentType string, body []byte) (all []upload, err error) {
	kind, parameters, unreadable := mime.ParseMediaType(contentType)
	switch {
	case contentType != "" && unreadable != nil:
		return nil, problemf(http.StatusUnsupportedMediaType, "Content-Type %s cannot be read", contentType)
	case kind == "multipart/form-data":
		all, err = formFiles(multipart.NewReader(bytes.NewReader(body), parameters["boundary"]))
	case kind == "application/json":
		var images struct {
			Images []upload `json:"images"`
		}
		if err := json.Unmarshal(body, &images); err != nil {
			return nil, problemf(http.StatusBadRequest, `the body is not JSON as {"images":[{"name":"cat","data":"base64..."}]}: %v`, err)
		}
		all = images.Images
	case len(body) > 0:
		all = []upload{{"image", body}}
	}
	if err == nil && len(all) == 0 {
		err = problemf(http.StatusBadRequest, "no image: send one as the body, or several as a multipart form or JSON")
	}
	for i := range all {
		if all[i].Name == "" {
			all[i].Name = fmt.Sprintf("image %d", i+1)
		}
	}
	return all, err
}

func formFiles(form *multipart.Reader) (all []upload, err error) {
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "the form cannot be read: %v", err)
		}
		if part.FileName() == "" {
			return nil, problemf(http.StatusBadRequest, "the form's field %q is not a file: topk, cam and so on belong in the query string, as in ?topk=3", part.FormName())
		}
		file, err := io.ReadAll(part)
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "the form's file %q cannot be read: %v", part.FileName(), err)
		}
		all = append(all, upload{strings.ToValidUTF8(part.FileName(), "?"), file})
	}
}
