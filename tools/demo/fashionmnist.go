package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// classes are the folder of each label.
var classes = []string{
	"t-shirt_top", "trouser", "pullover", "dress", "coat",
	"sandal", "shirt", "sneaker", "bag", "ankle_boot",
}

const side = 28 // of an image, pixels

// source is one of the dataset's files: gzip around an IDX array.
type source struct {
	name   string
	sha256 string // of the IDX array: Debian's gzip differs from the original's
}

// split is one half of the dataset.
type split struct {
	folder         string
	n              int // images
	images, labels source
}

var splits = []split{
	{
		"train", 60000,
		source{"train-images-idx3-ubyte.gz", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
		source{"train-labels-idx1-ubyte.gz", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
	},
	{
		"val", 10000,
		source{"t10k-images-idx3-ubyte.gz", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
		source{"t10k-labels-idx1-ubyte.gz", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
	},
}

// fashionMNIST makes what is missing of class folders of Fashion-MNIST (Zalando, MIT
// licence): 70,000 grey 28x28 photos of clothes in ten classes, small enough to train on in
// minutes. NNNNN is an image's place in the original file. The data comes from Debian's
// package dataset-fashion-mnist where apt-get is, and else from the dataset's own site;
// checksums make them the same. Everything is made under dir/.partial and renamed into
// place.
func fashionMNIST(ctx context.Context, dir string) error {
	if present(dir) {
		fmt.Printf("%s is complete\n", dir)
		return nil
	}
	partial := filepath.Join(dir, ".partial")
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return err
	}
	cache, err := fetch(ctx, partial)
	if err != nil {
		return err
	}
	for _, s := range splits {
		final := filepath.Join(dir, s.folder)
		if exists(final) {
			continue
		}
		made := filepath.Join(partial, s.folder)
		if err := s.write(ctx, cache, made); err != nil {
			return err
		}
		if err := os.Rename(made, final); err != nil {
			return err
		}
		fmt.Printf("%s: %d images in %d classes\n", final, s.n, len(classes))
	}
	return os.RemoveAll(partial)
}

func present(dir string) bool {
	for _, s := range splits {
		if !exists(filepath.Join(dir, s.folder)) {
			return false
		}
	}
	return true
}
