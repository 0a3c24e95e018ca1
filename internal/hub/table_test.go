package hub

import (
	"regexp"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/scale"
	"effnet/internal/weights/names"
)

// The digest of names and shapes in the table is of the model that the file's program
// builds; the network that effnet builds for it has the same, by the tables of names.
func TestTableIsOfNetworks(t *testing.T) {
	if len(table) < 150 {
		t.Fatalf("the table has %d lines", len(table))
	}
	seen := map[string]bool{}
	for _, e := range table {
		if seen[e.Name] {
			t.Errorf("%s is there twice", e.Name)
		}
		seen[e.Name] = true
		a, err := scale.Variant(e.Variant)
		if err != nil {
			t.Errorf("%s: %v", e.Name, err)
			continue
		}
		if !hasDigest(a, e) {
			t.Errorf("%s: no convention of %s gives %s the digest %s", e.Name, e.Names, e.Variant, e.Digest)
		}
		a.Classes = e.Classes
		if cost := scale.Count(a); cost.Params != e.Params {
			t.Errorf("%s: %d parameters, and effnet's has %d", e.Name, e.Params, cost.Params)
		}
	}
}

func hasDigest(a scale.Arch, e Entry) bool {
	for _, c := range names.All {
		if c.Program == e.Names && c.Digest(a) == e.Digest {
			return true
		}
	}
	return false
}

// Every line has what a network runs with.
func TestTableIsComplete(t *testing.T) {
	file := regexp.MustCompile(`^(hf:timm/[\w.]+|https://[^ ]+/[\w.-]+\.(pth|h5|tar\.gz))$`)
	defaults := map[string]int{}
	for _, e := range table {
		network, _ := e.network()
		if e.Default {
			defaults[network]++
		}
		if !file.MatchString(e.File) {
			t.Errorf("%s: the file %s", e.Name, e.File)
		}
		if sum := published(e.Hash); e.Hash != "" && (kinds[sum.kind] == nil || len(sum.hex) < 8) {
			t.Errorf("%s: the hash %s", e.Name, e.Hash)
		}
		a, err := e.Arch()
		if err != nil {
			t.Fatal(err)
		}
		m := checkpoint.Meta{Arch: a, Classes: make([]string, e.Classes), Preprocess: checkpoint.Preprocess{
			Resolution: e.Size, Crop: e.Crop, CropPct: e.CropPct, Interpolation: e.Interpolation, Transparency: checkpoint.Stored, Mean: e.Mean, Std: e.Std,
		}}
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		if e.Licence == "" || e.Trained == "" {
			t.Errorf("%s has no licence, or nobody knows what it was trained on", e.Name)
		}
	}
	for network, n := range defaults {
		if n > 1 {
			t.Errorf("%s: %d files are the default", network, n)
		}
	}
}

// What nobody would dispute of a few files, by their papers and their programs.
func TestTableSpotChecks(t *testing.T) {
	for _, c := range []struct{ name, variant, top1, padding, file, hash string }{
		{"timm/efficientnet_b0.ra_in1k", "b0", "77.698", "symmetric", "hf:timm/efficientnet_b0.ra_in1k", ""},
		{"timm/tf_efficientnet_l2.ns_jft_in1k", "l2", "88.360", "same", "hf:timm/tf_efficientnet_l2.ns_jft_in1k", ""},
		{"torchvision/efficientnet_b7", "b7", "84.122", "symmetric", "https://download.pytorch.org/models/efficientnet_b7_lukemelas-c5b4e57e.pth", "sha256:c5b4e57e"},
		{"lukemelas/efficientnet-b0", "b0", "76.3", "same", "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b0-355c32eb.pth", "sha256:355c32eb"},
		{"tensorflow/efficientnet-b0.ckpts", "b0", "76.7", "same", "https://storage.googleapis.com/cloud-tpu-checkpoints/efficientnet/ckpts/efficientnet-b0.tar.gz", ""},
		{"keras/efficientnetb0", "b0", "", "same", "https://storage.googleapis.com/keras-applications/efficientnetb0.h5", "md5:902e53a9f72be733fc0bcb005b3ebbac"},
	} {
		e, ok := Lookup(c.name)
		if !ok || e.Variant != c.variant || e.Top1 != c.top1 || e.Padding != c.padding || e.File != c.file || e.Hash != c.hash {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

func TestEntries(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    int // at least
	}{{"torchvision/", 10}, {"timm/tf_*ns_jft*", 8}, {"b0", 10}, {"nothing", 0}} {
		all := Entries(c.pattern)
		if len(all) < c.want || c.want == 0 && len(all) > 0 {
			t.Errorf("%s: %d lines", c.pattern, len(all))
		}
		for _, e := range all {
			if c.pattern == "torchvision/" && !strings.HasPrefix(e.Name, c.pattern) {
				t.Errorf("%s matches %s", c.pattern, e.Name)
			}
		}
	}
	if len(Entries()) != len(table) {
		t.Error("no pattern does not list all")
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, repo, revision string
		fault                string // a part of the error
	}{
		{"timm/efficientnet_b0.ra_in1k", "timm/efficientnet_b0.ra_in1k", "main", ""},
		{"timm/efficientnet_b0", "timm/efficientnet_b0.ra_in1k", "main", ""},
		{"timm/efficientnet_b0@v1", "timm/efficientnet_b0.ra_in1k", "v1", ""},
		{"torchvision/efficientnet_b0", "", "main", ""},
		{"hf:me/my.net", "me/my.net", "main", ""},
		{"hf:me/my.net@refs/pr/1", "me/my.net", "refs/pr/1", ""},
		{"hf:me", "", "", "not a name of a repository"},
		{"hf:me/../you", "", "", "not a name of a repository"},
		{"hf:me/a--b", "", "", "not a name of a repository"},
		{"hf:me/net@", "", "", "not a name of a repository"},
		{"hf:me/net@../../x", "", "", "not a name of a repository"},
		{"torchvision/efficientnet_b0@v1", "", "", "has no revisions"},
		{"timm/efficientnet_b0.none", "", "", "of timm/efficientnet_b0 it knows timm/efficientnet_b0.ra4_e3600_r224_in1k, timm/efficientnet_b0.ra_in1k"},
		{"timm/resnet50.a1_in1k", "", "", "is not among the published weights"},
	} {
		s, err := parse(c.name)
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", c.name, err, c.fault)
			}
		case err != nil || s == nil || s.repo != c.repo || s.revision != c.revision:
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
	for _, path := range []string{"best.safetensors", "runs/first/best.safetensors", "/tmp/x"} {
		if s, err := parse(path); s != nil || err != nil {
			t.Errorf("%s: %v, %v", path, s, err)
		}
	}
}

func TestTimm(t *testing.T) {
	for _, c := range [][3]string{
		{"b0", "same", "tf_efficientnet_b0"}, {"b0", "symmetric", "efficientnet_b0"}, {"b7", "symmetric", "tf_efficientnet_b7"},
		{"mnasnet-a1", "same", "semnasnet_100"}, {"mobilenetv3-large", "symmetric", "mobilenetv3_large_100"}, {"v2-s", "same", "tf_efficientnetv2_s"},
	} {
		if network, _, ok := Timm(c[0], c[1]); !ok || network != c[2] {
			t.Errorf("%s %s: %s", c[0], c[1], network)
		}
	}
	for _, v := range scale.Variants() {
		if _, _, ok := Timm(v.Name, "same"); !ok {
			t.Errorf("timm has no %s", v.Name)
		}
	}
}
