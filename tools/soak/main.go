// Command soak sends a server of effnet serve more than it can answer, for a long time, and
// watches its memory and goroutines.
//
//	go run ./tools/soak -for 30m -times 1.5 http://127.0.0.1:8080 PHOTOS > soak.csv
//
// It measures what the server can do with 16 clients, then sends the given multiple of that
// whether or not answers come: one in 50 is no image, one in 50 is cancelled at once. Every 10
// seconds it prints a line of numbers, and it fails if a request was neither answered nor
// refused.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	log.SetFlags(0)
	length := flag.Duration("for", 30*time.Minute, "how long")
	times := flag.Float64("times", 1.5, "of what the server can answer")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: soak [-for 30m] [-times 1.5] URL PHOTOS")
	}
	s, err := newSoak(flag.Arg(0), flag.Arg(1))
	if err == nil {
		err = s.run(*length, *times)
	}
	if err != nil {
		log.Fatal("soak: ", err)
	}
}

type soak struct {
	url    string
	photos [][]byte
	client *http.Client

	sent, answered, refused, unusable, cancelled, lost atomic.Int64
	first                                              sync.Once
}

func newSoak(url, folder string) (*soak, error) {
	s := &soak{url: url, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}, Timeout: time.Minute}}
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || len(s.photos) == 64 {
			return err
		}
		file, err := os.ReadFile(path)
		s.photos = append(s.photos, file)
		return err
	})
	if err == nil && len(s.photos) == 0 {
		err = fmt.Errorf("%s has no files", folder)
	}
	return s, err
}

func (s *soak) run(length time.Duration, times float64) error {
	capacity, err := s.capacity()
	if err != nil {
		return err
	}
	rate := times * capacity
	log.Printf("%.1f requests/s with 16 clients; sending %.1f", capacity, rate)
	fmt.Println("seconds,resident_mib,heap_mib,goroutines,connections,sent,answered,refused,unusable,cancelled,lost")
	began := time.Now()
	var all sync.WaitGroup
	next := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer next.Stop()
	report := time.NewTicker(10 * time.Second)
	defer report.Stop()
	for i := 0; time.Since(began) < length; {
		select {
		case <-next.C:
			i++
			n := i
			all.Go(func() { s.request(n) })
		case <-report.C:
			if err := s.report(time.Since(began)); err != nil {
				return err
			}
		}
	}
	all.Wait()
	if err := s.report(time.Since(began)); err != nil {
		return err
	}
	if done := s.answered.Load() + s.refused.Load() + s.unusable.Load() + s.cancelled.Load(); s.lost.Load() > 0 || done != s.sent.Load() {
		return fmt.Errorf("%d requests of %d were neither answered nor refused", s.sent.Load()-done, s.sent.Load())
	}
	return nil
}

// capacity is how many requests a second 16 clients get answered.
func (s *soak) capacity() (float64, error) {
	var answered atomic.Int64
	var failed atomic.Pointer[error]
	end := time.Now().Add(10 * time.Second)
	var all sync.WaitGroup
	for c := range 16 {
		all.Go(func() {
			for i := c; time.Now().Before(end); i += 16 {
				status, err := s.post(context.Background(), s.photos[i%len(s.photos)])
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("status %d", status)
				}
				if err != nil {
					failed.Store(&err)
					return
				}
				answered.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(answered.Load()) / 10, nil
}

func (s *soak) post(ctx context.Context, body []byte) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/classify", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	a, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	_, err = io.Copy(io.Discard, a.Body)
	return a.StatusCode, err
}

// request sends one and notes what became of it.
func (s *soak) request(n int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	body := s.photos[n%len(s.photos)]
	switch n % 50 {
	case 7:
		body = body[:len(body)/3]
	case 23:
		time.AfterFunc(time.Duration(n%7)*time.Millisecond, cancel)
	}
	s.sent.Add(1)
	status, err := s.post(ctx, body)
	switch {
	case errors.Is(err, context.Canceled):
		s.cancelled.Add(1)
	case err != nil:
		s.lost.Add(1)
		s.first.Do(func() { log.Printf("lost: %v", err) })
	case status == http.StatusOK:
		s.answered.Add(1)
	case status == http.StatusServiceUnavailable:
		s.refused.Add(1)
	case status == http.StatusUnprocessableEntity && n%50 == 7:
		s.unusable.Add(1)
	default:
		s.lost.Add(1)
		s.first.Do(func() { log.Printf("lost: status %d", status) })
	}
}

// report prints a line of the server's numbers and of what was sent.
func (s *soak) report(at time.Duration) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		return err
	}
	a, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return err
	}
	value := func(name string) float64 {
		if m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text); m != nil {
			v, _ := strconv.ParseFloat(string(m[1]), 64)
			return v
		}
		return -1
	}
	fmt.Printf("%.0f,%.1f,%.1f,%.0f,%.0f,%d,%d,%d,%d,%d,%d\n", at.Seconds(), value("process_resident_memory_bytes")/(1<<20), value("go_memstats_heap_alloc_bytes")/(1<<20),
		value("go_goroutines"), value("effnet_connections"), s.sent.Load(), s.answered.Load(), s.refused.Load(), s.unusable.Load(), s.cancelled.Load(), s.lost.Load())
	return nil
}
