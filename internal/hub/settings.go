package hub

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings say where files come from and where they are kept. The variables that they are
// read from, but for EFFNET_CACHE, are those of huggingface_hub, and mean what they mean
// there.
type Settings struct {
	Endpoint  string // of the hub, without a slash at its end
	Token     string // "" for none
	HubCache  string // what is from the hub, as huggingface_hub keeps it
	OwnCache  string // what is not; "" where there is no place for it
	Offline   bool
	NoLinks   bool          // copies in the place of links
	Metadata  time.Duration // a question about a file may take so long
	Stall     time.Duration // a download may pause so long
	UserAgent string
}

// Variables names the environment variables that are read, with what they set.
var Variables = [][2]string{
	{"HF_ENDPOINT", "the hub's address, for a mirror"},
	{"HF_TOKEN, HF_TOKEN_PATH", "a token, or the file that has one; HF_HUB_DISABLE_IMPLICIT_TOKEN=1 sends none"},
	{"HF_HOME, HF_HUB_CACHE", "where files of the hub are kept, together with those of Python's huggingface_hub"},
	{"HF_HUB_OFFLINE", "1: nothing is downloaded"},
	{"HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT", "seconds"},
	{"EFFNET_CACHE", "where other files are kept"},
	{"HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "the proxy"},
}

const (
	defaultEndpoint = "https://huggingface.co"
	defaultTimeout  = 10 * time.Second
)

// FromEnvironment reads the settings.
func FromEnvironment(getenv func(string) string) Settings {
	env := environment(getenv)
	home := env.path("HF_HOME", filepath.Join(env.path("XDG_CACHE_HOME", filepath.Join(userHome(), ".cache")), "huggingface"))
	s := Settings{
		Endpoint: strings.TrimRight(env.or("HF_ENDPOINT", defaultEndpoint), "/"),
		HubCache: env.path("HF_HUB_CACHE", env.path("HUGGINGFACE_HUB_CACHE", filepath.Join(home, "hub"))),
		Offline:  env.is("HF_HUB_OFFLINE") || env.is("TRANSFORMERS_OFFLINE"),
		NoLinks:  env.is("HF_HUB_DISABLE_SYMLINKS"),
		Metadata: env.seconds("HF_HUB_ETAG_TIMEOUT"),
		Stall:    env.seconds("HF_HUB_DOWNLOAD_TIMEOUT"),
	}
	if !env.is("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
		s.Token = strings.TrimSpace(env.or("HF_TOKEN", getenv("HUGGING_FACE_HUB_TOKEN")))
		if s.Token == "" {
			text, _ := os.ReadFile(env.path("HF_TOKEN_PATH", filepath.Join(home, "token"))) // none: no token
			s.Token = strings.TrimSpace(string(text))
		}
	}
	if s.OwnCache = env.path("EFFNET_CACHE", ""); s.OwnCache == "" {
		if dir, err := os.UserCacheDir(); err == nil {
			s.OwnCache = filepath.Join(dir, "effnet")
		}
	}
	return s
}

func userHome() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return "."
	}
	return home
}

type environment func(string) string

func (env environment) or(name, otherwise string) string {
	if v := env(name); v != "" {
		return v
	}
	return otherwise
}

// path is a variable with a leading ~ and the variables in it put in, as Python's
// expanduser and expandvars do.
func (env environment) path(name, otherwise string) string {
	p := env.or(name, otherwise)
	if p == "~" || strings.HasPrefix(p, "~/") {
		p = userHome() + p[1:]
	}
	return os.Expand(p, func(v string) string { return env.or(v, "$"+v) })
}

func (env environment) is(name string) bool {
	return slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(env(name)))
}

func (env environment) seconds(name string) time.Duration {
	if n, err := strconv.Atoi(env(name)); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return defaultTimeout
}
