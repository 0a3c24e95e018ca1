package hub

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFromEnvironment(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	tokens := filepath.Join(home, "tokens")
	if err := os.WriteFile(tokens, []byte("hf_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(env map[string]string) Settings {
		return FromEnvironment(func(name string) string { return env[name] })
	}

	s := read(nil)
	if want := filepath.Join(home, ".cache", "huggingface", "hub"); s.HubCache != want {
		t.Errorf("cache %s, want %s", s.HubCache, want)
	}
	if s.Endpoint != "https://huggingface.co" || s.Token != "" || s.Offline || s.Metadata != 10*time.Second || s.Stall != 10*time.Second {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct {
		env  map[string]string
		got  func(Settings) any
		want any
	}{
		{map[string]string{"HF_HOME": "~/h"}, func(s Settings) any { return s.HubCache }, filepath.Join(home, "h", "hub")},
		{map[string]string{"XDG_CACHE_HOME": "/x"}, func(s Settings) any { return s.HubCache }, "/x/huggingface/hub"},
		{map[string]string{"HF_HOME": "/h", "HF_HUB_CACHE": "$HF_HOME/c"}, func(s Settings) any { return s.HubCache }, "/h/c"},
		{map[string]string{"EFFNET_CACHE": "/e"}, func(s Settings) any { return s.OwnCache }, "/e"},
		{map[string]string{"HF_ENDPOINT": "https://mirror.example/"}, func(s Settings) any { return s.Endpoint }, "https://mirror.example"},
		{map[string]string{"HF_TOKEN": " hf_env\n"}, func(s Settings) any { return s.Token }, "hf_env"},
		{map[string]string{"HF_TOKEN": "hf_env", "HF_TOKEN_PATH": tokens}, func(s Settings) any { return s.Token }, "hf_env"},
		{map[string]string{"HF_TOKEN_PATH": tokens}, func(s Settings) any { return s.Token }, "hf_file"},
		{map[string]string{"HF_TOKEN_PATH": tokens, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, func(s Settings) any { return s.Token }, ""},
		{map[string]string{"HF_TOKEN": "hf_env", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes"}, func(s Settings) any { return s.Token }, ""},
		{map[string]string{"HF_HUB_OFFLINE": "1"}, func(s Settings) any { return s.Offline }, true},
		{map[string]string{"HF_HUB_OFFLINE": "0"}, func(s Settings) any { return s.Offline }, false},
		{map[string]string{"HF_HUB_DISABLE_SYMLINKS": "on"}, func(s Settings) any { return s.NoLinks }, true},
		{map[string]string{"HF_HUB_ETAG_TIMEOUT": "3"}, func(s Settings) any { return s.Metadata }, 3 * time.Second},
		{map[string]string{"HF_HUB_DOWNLOAD_TIMEOUT": "60"}, func(s Settings) any { return s.Stall }, time.Minute},
	} {
		if got := c.got(read(c.env)); got != c.want {
			t.Errorf("%v: %v, want %v", c.env, got, c.want)
		}
	}
}
