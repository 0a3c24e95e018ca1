// Package device is the table of devices that compute: what each is called, how it
// is opened, what it can do and how to measure it. Who needs a device asks the table
// and branches on what a row says, never on its name.
package device

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"effnet/internal/backend"
)

// A Device is a row of the table.
type Device struct {
	Name       string
	Precisions []string // that it computes in, the usual one first
	// Host says that the device is this machine's processor: its memory is the
	// program's, and its launches are done when they return.
	Host bool

	compiled func() error
	slow     *Shortcoming
	open     func(precision, kernels string, threads int) (backend.Backend, error)
	counter  func(precision string, threads int) Counter
	memory   func() (int64, error)
	found    func() (found, missing []string)
	describe func(backend.Backend) (string, error)
	peaks    func(ctx context.Context, b backend.Backend) (Peaks, error)
	usage    func(backend.Backend) (Usage, error)
	warning  func(backend.Backend) error // nil: there is none
	assign   func(n int)                 // nil: there is one unit
	card     *Card                       // by which launches are modelled; nil where none is
}

// table has every device, the usual one first. A new device is a row here.
var table = []*Device{cpuDevice, cudaDevice}

// All lists the devices, the usual one first.
func All() []*Device { return slices.Clone(table) }

// Host is the device that is this machine's processor, which every machine has.
func Host() *Device { return cpuDevice }

// Names lists the devices' names, for people: "cpu or cuda".
func Names() string { return listed(names()) }

func names() []string {
	all := make([]string, len(table))
	for i, d := range table {
		all[i] = d.Name
	}
	return all
}

// Lookup returns the device of a name. An unknown one is a *SettingError.
func Lookup(name string) (*Device, error) {
	if i := slices.Index(names(), name); i >= 0 {
		return table[i], nil
	}
	return nil, settingError("--device %s: want %s", name, Names())
}

// A SettingError is a device, a precision or a set of kernels that was asked for and
// that there is not: the settings are wrong, not the machine.
type SettingError struct{ err error }

func (e *SettingError) Error() string { return e.err.Error() }
func (e *SettingError) Unwrap() error { return e.err }

func settingError(format string, args ...any) error {
	return &SettingError{fmt.Errorf(format, args...)}
}

// A Backend is a device that was opened.
type Backend = backend.Backend

// An Error is what went wrong on a device.
type Error = backend.Error

// Check returns a *SettingError for a precision that the device does not have.
func (d *Device) Check(precision string) error {
	if slices.Contains(d.Precisions, precision) {
		return nil
	}
	return settingError("--precision %s: want %s with --device %s", precision, listed(d.Precisions), d.Name)
}

// Open opens the device. kernels is what the setting says, and threads how many compute,
// of a Host; 0 is one a core. A device that cannot be used is a *backend.Error, a setting
// that it does not have a *SettingError.
func (d *Device) Open(precision, kernels string, threads int) (backend.Backend, error) {
	if err := d.Check(precision); err != nil {
		return nil, err
	}
	return d.open(precision, kernels, threads)
}

// Assign has this process open the device's nth unit from now on, counted again from the
// first after the last, unless the environment names one. It changes nothing of a Host.
func (d *Device) Assign(n int) {
	if d.assign != nil {
		d.assign(n)
	}
}

// Warning is what somebody should know of how a backend of d was opened; nil for nothing.
func (d *Device) Warning(b backend.Backend) error {
	if d.warning == nil {
		return nil
	}
	return d.warning(b)
}

// Compiled says why this build of the program does not have the device; nil if it does.
func (d *Device) Compiled() error { return d.compiled() }

// Slow says what this build lacks to use the device at its speed; nil for nothing.
func (d *Device) Slow() *Shortcoming { return d.slow }

// A Shortcoming is something wrong, and what to do about it.
type Shortcoming struct{ What, Remedy string }

// A Counter is a backend that computes nothing and needs no device: Bytes is the
// memory of what was made on it.
type Counter interface {
	backend.Backend
	Bytes() int64
}

// Counter returns one for the device: what is made on it takes the memory that it would take
// on the device.
func (d *Device) Counter(precision string, threads int) (Counter, error) {
	if err := d.Check(precision); err != nil {
		return nil, err
	}
	return d.counter(precision, threads), nil
}

// Memory is the bytes that a program may fill: of a Host all that it has, of another
// what is free; 0 where the system does not say.
func (d *Device) Memory() (int64, error) { return d.memory() }

// Found says what this machine has of the device, and what is missing and what to do
// about it: lines for people.
func (d *Device) Found() (found, missing []string) { return d.found() }

// Describe says which device a backend of d is, for people; "" where Found says it.
func (d *Device) Describe(b backend.Backend) (string, error) { return d.describe(b) }

// Peaks measures what a backend of d can do at most, in its precision.
func (d *Device) Peaks(ctx context.Context, b backend.Backend) (Peaks, error) { return d.peaks(ctx, b) }

// A Card is what a model of launches takes for granted of a device.
type Card struct {
	Name   string             `json:"name"`
	Copy   float64            `json:"copy_bytes_sec"`
	FLOPS  map[string]float64 `json:"flops"`      // of large products, by precision
	Launch float64            `json:"launch_sec"` // from one launch of a graph to the next
}

// Card is the one by which the device's launches are modelled; nil where none is.
func (d *Device) Card() *Card { return d.card }

// Modelled lists the names of the devices that have a Card, for people.
func Modelled() string {
	var all []string
	for _, d := range table {
		if d.card != nil {
			all = append(all, d.Name)
		}
	}
	return listed(all)
}

// Seconds is how long a launch takes: its bytes at the speed of copies or its products at
// their speed, whichever is longer, and the launch itself.
func (c *Card) Seconds(l backend.Launched, precision string) float64 {
	return c.Launch + max(float64(l.Reads+l.Writes)/c.Copy, float64(l.FLOPs)/c.FLOPS[precision])
}

// Usage is what a backend takes of memory that is the device's own.
type Usage struct {
	Allocated int64 // bytes of its buffers
	Taken     int64 // bytes less that are free than when it was opened
}

// Usage measures it; it is zero for a Host.
func (d *Device) Usage(b backend.Backend) (Usage, error) { return d.usage(b) }

// listed writes a list for people: "a, b or c".
func listed(words []string) string {
	if n := len(words) - 1; n > 0 {
		return strings.Join(words[:n], ", ") + " or " + words[n]
	}
	return strings.Join(words, "")
}
