#!/usr/bin/env python3
"""Writes networks with the programs that define them, and what those compute, for internal/weights to import.

    pip install torch torchvision timm safetensors efficientnet_pytorch keras h5py
    python3 tools/weights_peers.py OUT CASE...

A case is PROGRAM:NETWORK:FORMAT, of

    timm:tf_efficientnet_b0:safetensors    and any other of timm's EfficientNets; or pth, or legacy (old .pth)
    torchvision:efficientnet_b0:pth        and b1 to b7, v2_s, v2_m, v2_l; mobilenet_v3_large and _small
    lukemelas:efficientnet-b0:pth
    keras:EfficientNetB0:keras             and B1 to B7, V2S, V2M, V2L; or h5
    tensorflow:EfficientNetB0:index        Keras' network by tensorflow/tpu's names; wants tensorflow

Each writes OUT/N.weights, OUT/N.images (float32 [1,R,R,3], raw) and OUT/N.logits
(float32 [1,classes], raw) for case number N, from 0, and prints "N RESOLUTION". Weights are
random, and so are the running statistics: but near enough to 0 and 1, and residual branches
small enough, that the networks do not amplify rounding. All is float32.
"""
import argparse
import os
import pathlib
import sys

# Set before Keras is imported. Its networks compute the same with either.
os.environ.setdefault("KERAS_BACKEND", "tensorflow" if "tensorflow:" in " ".join(sys.argv) else "torch")

import numpy as np

if os.environ["KERAS_BACKEND"] == "torch":
    import torch


def randomise(net):
    """Statistics and affine parameters of normalisations that a trained network could have."""
    g = torch.Generator().manual_seed(1)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            n = m.num_features
            m.running_mean.copy_(0.1 * torch.randn(n, generator=g))
            m.running_var.copy_(1 + 0.2 * torch.rand(n, generator=g))
            m.weight.data.copy_(0.8 + 0.3 * torch.rand(n, generator=g))
            m.bias.data.copy_(0.1 * torch.randn(n, generator=g))
        elif isinstance(m, torch.nn.Linear):
            m.weight.data.copy_(0.03 * torch.randn(m.weight.shape, generator=g))
            m.bias.data.copy_(0.1 * torch.randn(m.bias.shape, generator=g))
    return net.eval()


def pytorch(program, network):
    torch.manual_seed(0)
    if program == "timm":
        import timm

        net = timm.create_model(network)
        return randomise(net), net.default_cfg["input_size"][-1]
    if program == "torchvision":
        import torchvision

        side = {"b0": 224, "b1": 240, "b2": 288, "b3": 300, "b4": 380, "b5": 456, "b6": 528, "b7": 600, "s": 384, "m": 480, "l": 480, "large": 224, "small": 224}
        return randomise(torchvision.models.get_model(network)), side[network.split("_")[-1]]
    from efficientnet_pytorch import EfficientNet

    net = EfficientNet.from_name(network)
    return randomise(net), EfficientNet.get_image_size(network)


def save_torch(net, form, path):
    state = net.state_dict()
    if form == "safetensors":
        import safetensors.torch

        safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "pth")


def keras_case(network, form, path):
    import keras

    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, "EfficientNet" + network.removeprefix("EfficientNet"))
    # Without the layers that prepare pixels: images are normalised already.
    kwargs = {"include_preprocessing": False} if "V2" in network else {}
    net = build(weights=None, classifier_activation=None, **kwargs)
    rng = np.random.default_rng(1)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights([0.8 + 0.3 * rng.random(n), 0.1 * rng.standard_normal(n), 0.1 * rng.standard_normal(n), 1 + 0.2 * rng.random(n)])
        elif isinstance(layer, keras.layers.Dense):
            layer.set_weights([0.03 * rng.standard_normal(w.shape) for w in layer.get_weights()])
        elif isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.zeros(3), np.ones(3), np.array(0)])  # what remains: images/255
    if form == "index":
        save_tensorflow(net, path)
    else:
        target = path.with_suffix("." + form)
        net.save(target)
        target.rename(path)
    scale = 1 if "V2" in network else 255
    return lambda images: net.predict(images * scale, verbose=0), net.input_shape[1]


def save_tensorflow(net, prefix):
    """A TensorFlow checkpoint with tensorflow/tpu's names, of weights and of averages; the averages are the network's."""
    import tensorflow as tf

    names = {"stem_conv": "stem/conv2d", "stem_bn": "stem/tpu_batch_normalization", "top_conv": "head/conv2d",
             "top_bn": "head/tpu_batch_normalization", "predictions": "head/dense"}
    inside = [{"dwconv": "depthwise_conv2d", "bn": "tpu_batch_normalization", "se_reduce": "se/conv2d", "se_expand": "se/conv2d_1",
               "project_conv": "conv2d", "project_bn": "tpu_batch_normalization_1"},
              {"expand_conv": "conv2d", "expand_bn": "tpu_batch_normalization", "dwconv": "depthwise_conv2d", "bn": "tpu_batch_normalization_1",
               "se_reduce": "se/conv2d", "se_expand": "se/conv2d_1", "project_conv": "conv2d_1", "project_bn": "tpu_batch_normalization_2"}]
    layers = [layer.name for layer in net.layers if layer.name.startswith("block")]
    blocks = list(dict.fromkeys(name.split("_")[0] for name in layers))
    tensors = {"global_step": tf.constant(218949, tf.int64)}
    for layer in net.layers:
        block, _, rest = layer.name.partition("_")
        if block in blocks:
            scope = f"blocks_{blocks.index(block)}/{inside[block + '_expand_conv' in layers].get(rest)}"
        elif layer.name in names:
            scope = names[layer.name]
        else:
            continue
        for w in layer.weights:
            leaf = "depthwise_kernel" if rest == "dwconv" else w.path.split("/")[-1]
            name, value = f"efficientnet-b0/{scope}/{leaf}", tf.constant(np.asarray(w.numpy(), "<f4"))
            tensors |= {name + "/ExponentialMovingAverage": value, name: value + 1}
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=list(tensors), shape_and_slices=[""] * len(tensors), tensors=list(tensors.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("cases", nargs="+")
    args = parser.parse_args()
    for n, case in enumerate(args.cases):
        program, network, form = case.split(":")
        path = args.out / f"{n}.weights"
        if program in ("keras", "tensorflow"):
            run, side = keras_case(network, form, path)
        else:
            with torch.no_grad():
                net, side = pytorch(program, network)
            save_torch(net, form, path)

            def run(images, net=net):
                with torch.no_grad():
                    return net(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()

        images = np.random.default_rng(2).standard_normal((1, side, side, 3)).astype("<f4")
        images.tofile(args.out / f"{n}.images")
        np.ascontiguousarray(run(images), "<f4").tofile(args.out / f"{n}.logits")
        print(n, side, flush=True)


if __name__ == "__main__":
    main()
