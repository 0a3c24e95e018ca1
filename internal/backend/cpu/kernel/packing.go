package kernel

// Rows calls f for every run of n values of the packed matrix that come from row
// k, and where it begins.
func (p *Packing) Rows(f func(k, at, n int)) {
	at := 0
	for k0 := 0; k0 < p.K; k0 += p.depth {
		for _, t := range p.panels {
			cols := p.tiles[t].cols
			for k := k0; k < min(k0+p.depth, p.K); k++ {
				f(k, at, cols)
				at += cols
			}
		}
	}
}
