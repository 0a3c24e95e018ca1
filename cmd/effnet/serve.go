package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"effnet/internal/predict"
	"effnet/internal/serve"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tokenVariable is the environment variable of the token that clients must send.
const tokenVariable = "EFFNET_TOKEN"

type serveOptions struct {
	deviceOptions
	serve.Options
	Address, Debug string
	MaxBodyMiB     int64
	Watch          bool
	Cert, Key      string // files
	TokenFile      string
	LogFormat      string
	Quiet          bool
}

// AddFlags registers the options.
func (o *serveOptions) AddFlags(flags *pflag.FlagSet) {
	o.deviceOptions.AddFlags(flags)
	flags.Lookup("json").Hidden = true
	o.Options = serve.Default()
	flags.StringVar(&o.Address, "addr", "127.0.0.1:8080", "address to listen on; port 0 for any, :8080 for all of this machine's addresses")
	flags.IntVarP(&o.Predict.Batch, "batch-size", "b", 0, "most images to compute together; 0 for 4 per thread, 16 on a GPU")
	flags.DurationVar(&o.Predict.Wait, "wait", 3*time.Millisecond, "how long an image waits for others that are being decoded; 0 for not at all")
	flags.IntVar(&o.Predict.Queue, "queue", 0, "most images accepted but not yet answered; beyond it the answer is 503; 0 for 4 times the batch, at least 64")
	flags.IntVarP(&o.Predict.Workers, "workers", "j", 0, "images to decode at once; 0 for one per core")
	flags.Int64Var(&o.MaxBodyMiB, "max-body", o.MaxBody>>20, "largest request, MiB; all together may have eight times that")
	flags.IntVar(&o.Conns, "max-conns", o.Conns, "most connections; one more closes the one that has been idle longest")
	flags.DurationVar(&o.Timeout, "timeout", o.Timeout, "time limit for a request")
	flags.DurationVar(&o.Drain, "drain", o.Drain, "time that requests in progress have to finish when the server stops")
	flags.BoolVar(&o.Watch, "watch", false, "reload a checkpoint when its file changes; SIGHUP reloads all networks")
	flags.StringVar(&o.Cert, "tls-cert", "", "`file` of the certificate, for HTTPS; SIGHUP reloads it")
	flags.StringVar(&o.Key, "tls-key", "", "`file` of its key")
	flags.StringVar(&o.TokenFile, "token-file", "", "`file` of a token that clients must send; "+tokenVariable+" is the token itself")
	flags.StringVar(&o.Debug, "debug-addr", "", "separate address for Go's pprof, at /debug/pprof")
	flags.StringVar(&o.LogFormat, "log-format", "text", "text or json")
	flags.BoolVarP(&o.Quiet, "quiet", "q", false, "log only warnings and errors")
}

// Validate names the first option out of range.
func (o *serveOptions) Validate() error {
	switch {
	case (o.Cert == "") != (o.Key == ""):
		return usageError{errors.New("--tls-cert and --tls-key: want both or neither")}
	case o.LogFormat != "text" && o.LogFormat != "json":
		return usageError{fmt.Errorf("--log-format %s: want text or json", o.LogFormat)}
	case o.MaxBodyMiB < 1 || o.MaxBodyMiB > 1<<14:
		return usageError{fmt.Errorf("--max-body %d: want 1 to %d MiB", o.MaxBodyMiB, 1<<14)}
	case o.Predict.Batch < 0:
		return usageError{fmt.Errorf("--batch-size %d: want 0 or more", o.Predict.Batch)}
	case o.Predict.Queue < 0:
		return usageError{fmt.Errorf("--queue %d: want 0 or more", o.Predict.Queue)}
	}
	o.MaxBody = o.MaxBodyMiB << 20
	o.Bodies = 8 * o.MaxBody
	if o.Predict.Wait == 0 {
		o.Predict.Wait = -1
	}
	if err := o.Options.Validate(); err != nil {
		return usageError{err}
	}
	return o.deviceOptions.Validate()
}

func newServeCommand() *cobra.Command {
	var opts serveOptions
	cmd := &cobra.Command{
		Use:   "serve [NAME=]CHECKPOINT...",
		Short: "Classify images over HTTP",
		Long: `Classify images over HTTP: on a web page at /, by a JSON API at POST /v1/classify, and by
the Open Inference Protocol (KServe V2) for clients of Triton and others. GET
/openapi.yaml documents every endpoint; GET /metrics is for Prometheus.

On SIGTERM or SIGINT the server finishes the requests in progress and exits. On SIGHUP
it reloads all networks; one that cannot be loaded is kept as it was.

` + checkpointHelp + `
NAME is the name that requests use. Without it, best.safetensors and last.safetensors are
named after their run folder, any other file after itself.`,
		Example: `  effnet serve runs/first/best.safetensors
  curl --data-binary @cat.jpg http://127.0.0.1:8080/v1/classify
  effnet serve flowers=runs/flowers/best.safetensors timm/efficientnet_b0.ra_in1k --precision bf16
  effnet serve best.safetensors --addr :8443 --tls-cert cert.pem --tls-key key.pem --watch`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if opts.Kernels, err = kernelsSetting(cmd.Flags()); err != nil {
				return err
			}
			return runServe(cmd.Context(), cmd.ErrOrStderr(), args, opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	addKernels(cmd.Flags())
	return cmd
}

func runServe(ctx context.Context, w io.Writer, networks []string, opts serveOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	o := opts.Options
	o.Log = opts.newLog(w)
	o.Version = versionName()
	if opts.Watch {
		o.Watch = 2 * time.Second
	}
	var err error
	if o.Token, err = opts.token(); err != nil {
		return err
	}
	listener, certificates, err := opts.listen(ctx)
	if err != nil {
		return err
	}
	defer listener.Close()
	server, err := serve.New(ctx, opts.sources(networks), o)
	if err != nil {
		return err
	}
	if opts.Debug != "" {
		if err := serveProfiles(ctx, opts.Debug, o.Log); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before anyone is told where to send one
	defer signal.Stop(hangups)
	opts.announce(o, listener.Addr(), networks)
	go each(ctx, hangups, func() {
		if err := certificates.load(); err != nil {
			o.Log.Error("cannot reload the certificate: the previous one stays in use", "error", err)
		}
		server.Reload(ctx)
	})
	return server.Serve(ctx, listener)
}

func (o *serveOptions) newLog(w io.Writer) *slog.Logger {
	level := &slog.HandlerOptions{Level: slog.LevelInfo}
	if o.Quiet {
		level.Level = slog.LevelWarn
	}
	if o.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, level))
	}
	return slog.New(slog.NewTextHandler(w, level))
}

// token reads the token that clients must send; "" for none.
func (o *serveOptions) token() (string, error) {
	token := os.Getenv(tokenVariable)
	if o.TokenFile != "" {
		text, err := os.ReadFile(o.TokenFile)
		if err != nil {
			return "", usageError{fmt.Errorf("--token-file: %w", err)}
		}
		if token = strings.TrimSpace(string(text)); token == "" {
			return "", usageError{fmt.Errorf("--token-file %s: the file is empty", o.TokenFile)}
		}
	}
	return token, nil
}

// sources are the networks that the arguments name.
func (o *serveOptions) sources(networks []string) []serve.Source {
	all := make([]serve.Source, len(networks))
	for i, text := range networks {
		name, path, named := strings.Cut(text, "=")
		if _, err := os.Stat(text); err == nil || !named { // a file whose name has a =
			name, path = serve.NameOf(text), text
		}
		all[i] = serve.Source{Name: name, Path: path, Open: func(ctx context.Context) (*predict.Network, error) { return o.open(ctx, path) }}
	}
	return all
}

// listen opens the address, before networks are loaded, so that a wrong one is known soon.
func (o *serveOptions) listen(ctx context.Context) (net.Listener, *certificates, error) {
	c := &certificates{cert: o.Cert, key: o.Key}
	if err := c.load(); err != nil {
		return nil, nil, usageError{fmt.Errorf("--tls-cert: %w", err)}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, nil, usageError{fmt.Errorf("--addr %s: another program listens there: choose another port, or 0 for any", o.Address)}
	}
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--addr %s: %w", o.Address, err)}
	}
	if o.Cert != "" {
		l = tls.NewListener(l, &tls.Config{GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}})
	}
	return l, c, nil
}

// announce says where the server is, and what is unusual about that.
func (o *serveOptions) announce(s serve.Options, at net.Addr, networks []string) {
	scheme := "http"
	if o.Cert != "" {
		scheme = "https"
	}
	s.Log.Info("serving", "url", scheme+"://"+at.String()+"/", "networks", strings.Join(networks, " "), "device", o.Device, "precision", o.Precision)
	if tcp, ok := at.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && s.Token == "" {
		s.Log.Warn("anyone who can reach this machine can use the server: --token-file asks for a token")
	}
}

// serveProfiles serves profiles at an address of its own.
func serveProfiles(ctx context.Context, address string, log *slog.Logger) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return usageError{fmt.Errorf("--debug-addr: %w", err)}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Info("debugging", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	go func() {
		<-ctx.Done()
		_ = s.Close()
	}()
	go func() { _ = s.Serve(l) }()
	return nil
}

// each calls do for each signal, until ctx ends.
func each(ctx context.Context, signals <-chan os.Signal, do func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			do()
		}
	}
}
