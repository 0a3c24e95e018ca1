// Command demo brings what the demonstrations need (make demo, make demo-photos).
//
//	go run ./tools/demo fashion-mnist DIR
//	go run ./tools/demo lite0 FILE.pth
//
// The first writes DIR/{train,val}/CLASS/NNNNN.png of Fashion-MNIST, the second
// EfficientNet-Lite0's ImageNet weights. Whatever is there whole already is not
// downloaded again, and a run that was interrupted can be repeated.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// parts are what can be brought, by the first argument; each has the second, a path.
var parts = map[string]func(ctx context.Context, path string) error{
	"fashion-mnist": fashionMNIST,
	"lite0":         lite0,
}

func main() {
	if len(os.Args) != 3 || parts[os.Args[1]] == nil || os.Args[2] == "" {
		fmt.Fprintln(os.Stderr, "usage: demo fashion-mnist DIR, or demo lite0 FILE.pth")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := parts[os.Args[1]](ctx, os.Args[2])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
