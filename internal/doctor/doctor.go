// Package doctor finds out what a machine can compute with, how fast that is and
// whether its devices agree.
package doctor

import (
	"context"
	"math"

	"effnet/internal/backend"
	"effnet/internal/device"
)

// Diagnosis is what a machine has. Its JSON keys are an interface.
type Diagnosis struct {
	Version  string   `json:"version"` // of the program; the caller's to fill in
	Memory   int64    `json:"memory"`  // bytes; 0 if the system does not say
	Devices  []Device `json:"devices"` // those that can be used
	Found    []string `json:"found"`   // of devices that are not the host, usable or not
	Problems []string `json:"repair"`  // what is wrong, and what to do

	Unusable []Device `json:"-"` // those that cannot be used, and have Err
}

// Device is one that computes.
type Device struct {
	Name   string   `json:"name"`
	Has    []string `json:"has"`            // lines for people
	FLOPS  float64  `json:"flops"`          // of a matrix product, operations a second
	Copy   float64  `json:"copy_bytes_sec"` // read and written
	Parity float64  `json:"parity"`         // distance to the host's of a small network's logits and gradients, over their length

	Host    bool      `json:"-"` // what the others are compared with
	Err     error     `json:"-"` // why it cannot be used
	network []float32 // the small network's values
}

// Usable returns why the device of a name cannot be used, or nil.
func (d *Diagnosis) Usable(name string) error {
	for _, v := range d.Unusable {
		if v.Name == name {
			return v.Err
		}
	}
	return nil
}

// Examine looks at every device, and opens the host with what the setting of its kernels
// says. Only the host's failing is an error.
func Examine(ctx context.Context, kernels string) (*Diagnosis, error) {
	return examine(ctx, device.All(), kernels)
}

func examine(ctx context.Context, devices []*device.Device, kernels string) (*Diagnosis, error) {
	d := &Diagnosis{Memory: device.HostMemory(), Found: []string{}, Problems: []string{}}
	host := d.add(ctx, device.Host(), kernels, nil)
	if host.Err != nil {
		return nil, host.Err
	}
	for _, other := range devices {
		if other != device.Host() {
			d.add(ctx, other, kernels, host.network)
		}
	}
	return d, ctx.Err()
}

// add examines a device. What is missing, or else why it cannot be used, is a problem.
func (d *Diagnosis) add(ctx context.Context, dev *device.Device, kernels string, reference []float32) Device {
	v := Device{Name: dev.Name, Host: dev == device.Host()}
	var missing []string
	v.Has, missing = dev.Found()
	if !v.Host {
		d.Found = append(d.Found, v.Has...)
	}
	d.Problems = append(d.Problems, missing...)
	if v.Err = v.open(ctx, dev, kernels, reference); v.Err == nil {
		d.Devices = append(d.Devices, v)
		return v
	}
	d.Unusable = append(d.Unusable, v)
	if len(missing) == 0 { // what is missing is said already
		d.Problems = append(d.Problems, v.Err.Error())
	}
	return v
}

// open opens a device, examines it and closes it.
func (d *Device) open(ctx context.Context, dev *device.Device, kernels string, reference []float32) error {
	b, err := dev.Open(dev.Precisions[0], kernels, 0)
	if err != nil {
		return err
	}
	defer b.Close()
	text, err := dev.Describe(b)
	if err != nil {
		return err
	}
	if text != "" {
		d.Has = append(d.Has, text)
	}
	return d.examine(ctx, b, reference)
}

// examine times a backend and compares its small network with a reference's
// values, if there are any.
func (d *Device) examine(ctx context.Context, b backend.Backend, reference []float32) error {
	speed, err := device.Speed(ctx, b)
	if err != nil {
		return err
	}
	d.FLOPS, d.Copy = speed.FLOPS, speed.Copy
	if d.network, err = smallNetwork(b); err != nil {
		return err
	}
	var apart, length float64
	for i, want := range reference {
		apart += math.Pow(float64(d.network[i]-want), 2)
		length += math.Pow(float64(want), 2)
	}
	if length > 0 {
		d.Parity = math.Sqrt(apart / length)
	}
	return nil
}
