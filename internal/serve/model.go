package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"effnet/internal/predict"

	"golang.org/x/sync/semaphore"
)

// A Source is a network to serve, and where it comes from.
type Source struct {
	Name string // in addresses
	Path string // the file to watch; "" where there is none
	Open func(ctx context.Context) (*predict.Network, error)
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// CheckName returns an error for what cannot be a network's name in an address.
func CheckName(name string) error {
	if validName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("serve: %q cannot be a network's name: want letters, digits, _, - and ., as in roses=%s", name, "runs/roses/best.safetensors")
}

// extensions are those of files of weights: the dots of published names mean something else.
var extensions = []string{".safetensors", ".pth", ".pt", ".bin", ".h5", ".keras", ".weights"}

// NameOf is what the network of a file, or with a published name, is called where nobody
// says: a run's after its folder.
func NameOf(path string) string {
	name := filepath.Base(filepath.ToSlash(path))
	for _, extension := range extensions {
		name = strings.TrimSuffix(name, extension)
	}
	if name == "best" || name == "last" {
		if abs, err := filepath.Abs(path); err == nil {
			name = filepath.Base(filepath.Dir(abs))
		}
	}
	return strings.Map(func(r rune) rune {
		if validName.MatchString("_" + string(r)) {
			return r
		}
		return '-'
	}, name)
}

// A model is a network that is served. It can be replaced while it answers.
type model struct {
	Source
	server  *Server
	places  *semaphore.Weighted // for images that are accepted and not answered
	limit   int64               // places
	current atomic.Pointer[predict.Predictor]

	loading sync.Mutex
	loaded  stamp // of the file that was loaded, or that could not be
}

func newModel(ctx context.Context, source Source, s *Server) (*model, error) {
	if err := CheckName(source.Name); err != nil {
		return nil, err
	}
	m := &model{Source: source, server: s}
	p, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	_, limit := p.Load()
	m.limit, m.places = int64(limit), semaphore.NewWeighted(int64(limit))
	m.current.Store(p)
	return m, nil
}

// A stamp tells whether a file is another than before.
type stamp struct {
	size int64
	time time.Time
	file os.FileInfo
}

// stampOf reads that of a file; the zero stamp is no file.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if path == "" || err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime(), info}
}

func (s stamp) same(as stamp) bool {
	return s.size == as.size && s.time.Equal(as.time) && (s.file == nil) == (as.file == nil) && (s.file == nil || os.SameFile(s.file, as.file))
}

// load opens the network, and compiles the pass of one image, so that the first request
// need not wait for that and a network that cannot run is refused.
func (m *model) load(ctx context.Context) (*predict.Predictor, error) {
	m.loaded = stampOf(m.Path)
	n, err := m.Open(ctx)
	if err != nil {
		return nil, err
	}
	opt := m.server.opt.Predict
	opt.Refuse = false // places are counted here, for all images of a request at once
	opt.Observe = m.server.metrics.observe(m.Name)
	p, err := predict.New(n, opt)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	side := n.Meta.Preprocess.Resolution
	if _, err := p.Classify(ctx, predict.Request{Image: predict.Pixels(make([]uint8, side*side*3))}); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if !m.loaded.same(stampOf(m.Path)) {
		m.loaded = stamp{}
		return nil, errors.Join(fmt.Errorf("serve: %s changed while it was read: write a new file under another name, then rename it", m.Path), p.Close())
	}
	return p, nil
}

// reload puts the network that is at its source now in the place of the one that answers,
// which answers what it has accepted.
func (m *model) reload(ctx context.Context) {
	m.loading.Lock()
	defer m.loading.Unlock()
	log := m.server.opt.Log.With("model", m.Name, "path", m.Path)
	p, err := m.load(ctx)
	m.server.metrics.reloaded(m.Name, err)
	if err != nil {
		log.Error("cannot reload the network: the previous one stays in use", "error", err)
		return
	}
	old := m.current.Swap(p)
	log.Info("reloaded the network", "classes", len(p.Meta().Classes))
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.server.opt.Timeout)
	defer cancel()
	if err := old.Shutdown(end); err != nil {
		log.Error("closing the network that was replaced", "error", err)
	}
}

// watch reloads models whose files changed.
func (s *Server) watch(ctx context.Context) {
	if s.opt.Watch == 0 {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.opt.Watch):
		}
		for _, m := range s.models {
			m.loading.Lock()
			now := stampOf(m.Path)
			changed := !now.same(m.loaded) && now.file != nil
			m.loading.Unlock()
			if changed {
				m.reload(ctx)
			}
		}
	}
}

// An answer is what a network says of an image, or why it says nothing.
type answer struct {
	*predict.Answer
	err error
}

// answerOf refuses an answer of which a number is none, as values far outside of what
// images have can make it.
func answerOf(a *predict.Answer, err error) answer {
	if err == nil {
		for _, z := range a.Logits {
			if z-z != 0 {
				err = problemf(http.StatusUnprocessableEntity, "the network's output is not finite: are the values normalised?")
			}
		}
	}
	return answer{a, err}
}

// ask answers all requests about images, or none: where there are not places enough for
// all, the error is errBusy. What is wrong with one image is its own answer's error.
func (m *model) ask(ctx context.Context, requests []predict.Request) ([]answer, *predict.Predictor, error) {
	n := int64(len(requests))
	if n > m.limit {
		return nil, nil, problemf(http.StatusRequestEntityTooLarge, "%d images in a request, and at most %d can wait: send fewer", n, m.limit)
	}
	if !m.places.TryAcquire(n) {
		return nil, nil, errBusy
	}
	defer m.places.Release(n)
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		return nil, nil, context.DeadlineExceeded // ctx itself says so only once its timer has run
	}
	for {
		p := m.current.Load()
		all := make([]answer, n)
		var images sync.WaitGroup
		for i, r := range requests {
			images.Go(func() { all[i] = answerOf(p.Classify(ctx, r)) })
		}
		images.Wait()
		replaced := false
		for _, a := range all {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			replaced = replaced || errors.Is(a.err, predict.ErrClosed) && p != m.current.Load()
		}
		if !replaced {
			return all, p, nil
		}
	}
}
