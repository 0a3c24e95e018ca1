//go:build unix

package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"effnet/internal/predict/predicttest"
)

// A served is a running effnet serve.
type served struct {
	*exec.Cmd
	url   string
	lines chan string // of its log
}

// startServer runs effnet serve on a free port, and waits until it listens.
func startServer(t *testing.T, env []string, args ...string) *served {
	t.Helper()
	return start(t, env, effnetCommand(t.Context(), t.TempDir(), append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...))
}

// start runs a server, and waits until it listens.
func start(t *testing.T, env []string, server *exec.Cmd) *served {
	t.Helper()
	s := &served{server, "", make(chan string, 1000)}
	s.Env = append(os.Environ(), env...)
	log, err := s.StderrPipe()
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	go func() {
		defer close(s.lines)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			s.lines <- lines.Text()
		}
	}()
	s.url = s.await(t, `serving.* url=(\S+)/`)
	return s
}

// await waits for a line of the log, and returns its part in parentheses.
func (s *served) await(t *testing.T, pattern string) string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	late := time.After(time.Minute)
	for {
		select {
		case line, ok := <-s.lines:
			if found := want.FindStringSubmatch(line); found != nil {
				return found[len(found)-1]
			}
			if !ok {
				t.Fatalf("the server ended before it said %q", pattern)
			}
		case <-late:
			t.Fatalf("no %q", pattern)
		}
	}
}

// answer is what a request gets, which must be status.
func answer(t *testing.T, c *http.Client, r *http.Request, status int) string {
	t.Helper()
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != status {
		t.Fatalf("%s %s: %s, %v: %s", r.Method, r.URL, a.Status, err, text)
	}
	return string(text)
}

func post(t *testing.T, url string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A server says what predict says, loads its network again at SIGHUP, and ends at SIGTERM
// with exit code 0.
func TestServe(t *testing.T) {
	network, photo := predicttest.File(t), predicttest.Encoded(t, predicttest.Photo(1))
	s := startServer(t, nil, "flowers="+network, "--log-format", "text")
	got := answer(t, http.DefaultClient, post(t, s.url+"/v1/classify?topk=1", photo), 200)

	file := filepath.Join(t.TempDir(), "photo.png")
	if err := os.WriteFile(file, photo, 0o666); err != nil {
		t.Fatal(err)
	}
	said, err := effnetCommand(t.Context(), "", "predict", network, file, "--topk", "1", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []struct{ Predictions json.RawMessage }
	if err := json.Unmarshal(said, &want); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, `"model":"flowers"`) || !strings.Contains(got, string(want[0].Predictions)) {
		t.Errorf("the server says %s, predict %s", got, said)
	}

	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(t, "reloaded the network")
	if err := os.WriteFile(network, []byte("damaged"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(t, "the previous one stays in use")
	if again := answer(t, http.DefaultClient, post(t, s.url+"/v1/classify?topk=1", photo), 200); again != got {
		t.Errorf("the network answers %s after it was loaded again, %s before", again, got)
	}

	_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
	second := effnetCommand(t.Context(), "", "serve", network, "--addr", "127.0.0.1:"+port)
	text, err := second.CombinedOutput()
	if second.ProcessState.ExitCode() != 2 || !strings.Contains(string(text), "another program listens there") {
		t.Errorf("two servers on one port: %v, %s", err, text)
	}

	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.await(t, "stopping")
	for range s.lines {
	}
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// A bundle serves its network, and loads it again.
func TestServeBundle(t *testing.T) {
	network, photo := predicttest.File(t), predicttest.Encoded(t, predicttest.Photo(1))
	flowers := filepath.Join(t.TempDir(), "flowers")
	if out, err := effnetCommand(t.Context(), "", "bundle", network, flowers).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := startServer(t, nil, "flowers="+network)
	want := answer(t, http.DefaultClient, post(t, s.url+"/v1/classify", photo), 200)

	s = start(t, nil, exec.CommandContext(t.Context(), flowers, "serve", "--addr", "127.0.0.1:0"))
	if got := answer(t, http.DefaultClient, post(t, s.url+"/v1/classify", photo), 200); got != want {
		t.Errorf("the bundle answers %s, effnet %s", got, want)
	}
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(t, "reloaded the network")
}

// A network on a graphics card answers what it answers on the processor, but for rounding,
// and is loaded again there.
func TestServeCUDA(t *testing.T) {
	if !canEmulate() {
		t.Skip("nothing is served with --device cuda: install gcc and g++, on Linux")
	}
	gpu, err := emulatedGPU()
	if err != nil {
		t.Fatal(err)
	}
	network, photo := predicttest.File(t), predicttest.Encoded(t, predicttest.Photo(1))
	best := func(s *served) (class string, probability float64) {
		var a struct {
			Results []struct {
				Predictions []struct {
					Class       string
					Probability float64
				}
			}
		}
		if err := json.Unmarshal([]byte(answer(t, http.DefaultClient, post(t, s.url+"/v1/classify?cam=true", photo), 200)), &a); err != nil {
			t.Fatal(err)
		}
		p := a.Results[0].Predictions[0]
		return p.Class, p.Probability
	}
	class, probability := best(startServer(t, nil, network))
	s := startServer(t, []string{"EFFNET_CUDA_LIBS=" + gpu, "XDG_CACHE_HOME=" + t.TempDir()}, network, "--device", "cuda")
	for range 2 {
		if c, p := best(s); c != class || math.Abs(p-probability) > 1e-4 {
			t.Errorf("%s with %v, on the processor %s with %v", c, p, class, probability)
		}
		if err := s.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.await(t, "reloaded the network")
	}
}

// certificate writes one of this machine's, and returns its files and what trusts it.
func certificate(t *testing.T) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(cert, certificate, 0o666), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)); err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AppendCertsFromPEM(certificate)
	return cert, key, trust
}

// HTTPS, over HTTP/1.1 and HTTP/2, with a token, and profiles at another address.
func TestServeTLS(t *testing.T) {
	cert, key, trust := certificate(t)
	network, photo := predicttest.File(t), predicttest.Encoded(t, predicttest.Photo(1))
	s := startServer(t, []string{tokenVariable + "=sesame"}, network, "--tls-cert", cert, "--tls-key", key, "--debug-addr", "127.0.0.1:0")
	for _, second := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!second)
		transport.Protocols.SetHTTP2(second)
		c := &http.Client{Transport: transport}
		r := post(t, s.url+"/v1/classify", photo)
		answer(t, c, r, 401)
		r = post(t, s.url+"/v1/classify", photo)
		r.Header.Set("Authorization", "Bearer sesame")
		answer(t, c, r, 200)
		c.CloseIdleConnections()
	}
	if err := s.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for range s.lines {
	}
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
}
