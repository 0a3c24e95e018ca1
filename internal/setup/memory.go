package setup

import (
	"fmt"
	"sort"

	"effnet/internal/backend"
	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/scale"
	"effnet/internal/train"
)

// Memory is the most that training takes, with the given numbers of images to train and
// to evaluate on. If images is 0, their number is unknown and there is evaluation.
func Memory(cfg config.Config, arch scale.Arch, images, evaluated int) (m train.Memory, err error) {
	d, err := device.Lookup(cfg.Device)
	if err != nil {
		return m, err
	}
	o, err := options(cfg, arch)
	if err != nil {
		return m, err
	}
	if images == 0 {
		images, evaluated = cfg.BatchSize, cfg.BatchSize
	}
	return train.CountMemory(func() (train.Counter, error) { return d.Counter(cfg.Precision, cfg.Threads) }, o, images, evaluated)
}

// onDevice is the part of Memory that is the device's: on a Host, all of it.
func onDevice(cfg config.Config, arch scale.Arch, images, evaluated int) (int64, error) {
	m, err := Memory(cfg, arch, images, evaluated)
	if err != nil {
		return 0, err
	}
	d, err := device.Lookup(cfg.Device)
	if err == nil && !d.Host {
		m.Read = 0
	}
	return m.Bytes(), err
}

// DeviceMemory is the bytes that training may fill; 0 where the system does not say.
func DeviceMemory(cfg config.Config) (int64, error) {
	d, err := device.Lookup(cfg.Device)
	if err != nil {
		return 0, err
	}
	return d.Memory()
}

// MustFit returns a *backend.Error where training takes more memory than total bytes,
// if those are not 0.
func MustFit(cfg config.Config, arch scale.Arch, images, evaluated int, total int64) error {
	need, err := onDevice(cfg, arch, images, evaluated)
	if err != nil {
		return err
	}
	if total > 0 && need > total {
		return &backend.Error{Device: cfg.Device, Op: "memory", Err: fmt.Errorf("training %s at %d px in batches of %d takes %.1f GiB of %.1f (use a smaller -b, or -b auto)",
			arch.Name, arch.Resolution, cfg.BatchSize, gib(need), gib(total))}
	}
	return nil
}

// FitBatch returns the settings' batch size. If that is 0, it returns the largest, in steps
// of 8 above 8, with which training fits in --memory, or in three quarters of the
// device's memory if --memory is 0.
func FitBatch(cfg config.Config, arch scale.Arch, images, evaluated int) (int, error) {
	if cfg.BatchSize > 0 {
		return cfg.BatchSize, nil
	}
	limit := int64(cfg.Memory * (1 << 30))
	if limit == 0 {
		memory, err := DeviceMemory(cfg)
		if err != nil {
			return 0, err
		}
		limit = memory / 4 * 3
	}
	if limit == 0 {
		return 0, fault("--memory: this system does not report its memory (give the GiB that a batch may fill)")
	}
	var failed error
	fits := func(batch int) bool {
		cfg.BatchSize = batch
		need, err := onDevice(cfg, arch, images, evaluated)
		if err != nil {
			failed = err
		}
		return err == nil && need <= limit
	}
	size := func(i int) int { // 1, 2, ..., 8, 16, 24, ...
		if i < 8 {
			return i + 1
		}
		return 8 * (i - 6)
	}
	most := sort.Search(520, func(i int) bool { return images > 0 && size(i) > images || !fits(size(i)) })
	switch {
	case failed != nil:
		return 0, failed
	case most == 0:
		return 0, fault("--memory: one image alone takes more than %.3g GiB (%s at %d px)", gib(limit), arch.Name, arch.Resolution)
	}
	return size(most - 1), nil
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }
