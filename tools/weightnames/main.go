// Command weightnames prints a line for every published network and every program that
// names all of its tensors: the network, the program, the digest of names and shapes with
// 1000 classes, and the resolution. tools/weights_table.py finds by it which network a
// program's weights are of.
package main

import (
	"fmt"
	"log"

	"effnet/internal/scale"
	"effnet/internal/weights/names"
)

func main() {
	for _, v := range scale.Variants() {
		a, err := v.Arch()
		if err != nil {
			log.Fatal(err)
		}
		for _, c := range names.All {
			if digest := c.Digest(a); digest != "" {
				fmt.Printf("%s\t%s\t%s\t%d\n", v.Name, c.Program, digest, a.Resolution)
			}
		}
	}
}
