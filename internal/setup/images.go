package setup

import (
	"errors"
	"io/fs"

	"effnet/internal/config"
	"effnet/internal/data"
)

// Images lists the training images of a folder or a pack and, if there are any, those of
// evaluation, without those that the settings exclude. evalSet is nil if there are none.
func Images(dir string, cfg config.Config) (trainSet, evalSet *data.Set, err error) {
	if trainSet, err = data.OpenTrain(dir); err != nil {
		return nil, nil, err
	}
	if cfg.Minival == 0 { // else some training images are held out
		evalSet, err = data.OpenEval(dir, trainSet.Classes)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		if evalSet != nil && evalSet.Dir == trainSet.Dir { // no splits
			evalSet = nil
		}
	}
	if cfg.Exclude != "" {
		sets, err := data.Exclude(cfg.Exclude, dir, trainSet, evalSet)
		if err != nil {
			return nil, nil, err
		}
		trainSet, evalSet = sets[0], sets[1]
	}
	if cfg.Minival > 0 {
		if trainSet, evalSet, err = trainSet.HoldOut(cfg.Minival, uint64(cfg.Seed)); err != nil {
			return nil, nil, fault("--minival: %w", err)
		}
	}
	if cfg.Shots > 0 {
		if trainSet, err = trainSet.Shots(cfg.Shots, uint64(cfg.Seed)); err != nil {
			return nil, nil, fault("--shots: %w", err)
		}
	}
	if cfg.Subset > 0 {
		if trainSet, err = trainSet.Subset(cfg.Subset, uint64(cfg.Seed)); err != nil {
			return nil, nil, fault("--subset: %w", err)
		}
	}
	return trainSet, evalSet, nil
}
