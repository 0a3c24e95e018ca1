// Command kit tests effnet on a graphics card, on a machine without Go. It runs from
// the folder that "make gpu-kit" writes, started by its run.sh:
//
//	run.sh right                 is the backend correct?
//	run.sh speed                 how fast is it?
//	run.sh only STAGE...         some stages
//	run.sh list                  the stages
//
// A line is printed after each stage, and MODE.json rewritten with all that is known
// by then; MODE.log has what every program printed. Both are in $OUT, or in out. The exit
// code is 1 if a stage failed, ran out of time or was not reached.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ok, err := start(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kit:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// start runs what the arguments say. ok is whether all of it is well.
func start(args []string, w io.Writer) (ok bool, err error) {
	var k kit
	flags := flag.NewFlagSet("run.sh", flag.ContinueOnError)
	flags.StringVar(&k.dir, "work", ".", "folder of the unpacked kit")
	remove := flags.Bool("remove", false, "remove that folder at the end")
	flags.StringVar(&k.photos, "photos", "", "the images, a pack (default: photos.pack of that folder)")
	flags.StringVar(&k.out, "out", getenv("OUT", "out"), "folder of the results")
	budget := flags.Duration("budget", 0, "time for all stages together (default: the mode's)")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if *remove {
		defer os.RemoveAll(k.dir)
	}
	mode, names := flags.Arg(0), flags.Args()
	if mode == "list" {
		return true, list(w)
	}
	chosen, err := choose(mode, names[min(1, len(names)):])
	if err != nil {
		return false, err
	}
	if err := k.prepare(); err != nil {
		return false, err
	}
	if *budget == 0 {
		*budget = budgets[mode]
		if k.emulated {
			*budget *= emulatedSlower
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return k.run(ctx, w, mode, chosen, *budget)
}

// list prints the table of stages.
func list(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, s := range stages {
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", s.name, s.modes, s.limit, s.about)
	}
	return tab.Flush()
}

// choose is the stages of a mode, or those that are named, doctor first: the report
// needs what it says of the card.
func choose(mode string, names []string) (chosen []stage, err error) {
	if _, ok := budgets[mode]; !ok {
		return nil, fmt.Errorf("%q: want right, speed, only STAGE... or list", mode)
	}
	if (mode == "only") != (len(names) > 0) {
		return nil, fmt.Errorf("%s: stages are named after only, and nowhere else (run.sh list)", mode)
	}
	wanted := map[string]bool{"doctor": true}
	for _, name := range names {
		wanted[name] = true
	}
	for _, s := range stages {
		if wanted[s.name] || strings.Contains(s.modes, mode) {
			chosen = append(chosen, s)
		}
		delete(wanted, s.name)
	}
	for name := range wanted {
		return nil, fmt.Errorf("there is no stage %q (run.sh list)", name)
	}
	return chosen, nil
}

// kit is the folder of the unpacked kit, and where its results go.
type kit struct {
	dir, out string
	photos   string
	emulated bool // small sizes, on emulated libraries
	report   report
	log      *os.File
	tmp      string // removed at the end
}

// prepare reads the kit's own description and makes the folder of results.
func (k *kit) prepare() (err error) {
	if k.dir, err = filepath.Abs(k.dir); err != nil {
		return err
	}
	if k.out, err = filepath.Abs(k.out); err != nil {
		return err
	}
	if k.photos == "" {
		k.photos = k.file("photos.pack")
	}
	version, err := os.ReadFile(k.file("version"))
	if err != nil {
		return fmt.Errorf("%s holds no kit: %w", k.dir, err)
	}
	k.emulated = os.Getenv("KIT_EMULATED") != ""
	k.report = report{Version: strings.TrimSpace(string(version)), Emulated: k.emulated, Started: time.Now().UTC().Truncate(time.Second)}
	return os.MkdirAll(k.out, 0o755)
}

// file is a file of the kit.
func (k *kit) file(name string) string { return filepath.Join(k.dir, name) }

func getenv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
