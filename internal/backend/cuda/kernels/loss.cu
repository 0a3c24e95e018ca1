// Softmax and cross-entropy. Launches: a block a row of K values.

// RowSums are a row's largest logit, the sum of exp(logit-largest) and the sum of
// its targets.
struct RowSums {
    float top, exps, targets;
};

__device__ inline RowSums rowSums(const float* logits, const float* targets, int K) {
    auto plus = [](float a, float b) { return a + b; };
    RowSums s = {logits[0], 0, 0};
    for (int k = threadIdx.x; k < K; k += blockDim.x) s.top = largest(s.top, logits[k]);
    s.top = blockTotal(s.top, largest);
    for (int k = threadIdx.x; k < K; k += blockDim.x) s.exps += expf(logits[k] - s.top), s.targets += targets[k];
    s.exps = blockTotal(s.exps, plus);
    s.targets = blockTotal(s.targets, plus);
    return s;
}

// crossEntropy: losses[n] = -sum over k of targets[n,k]*log softmax(logits[n])[k] / N.
extern "C" __global__ void crossEntropy(const float* logits, const float* targets, float* losses, int N, int K) {
    Size n = blockIdx.x;
    logits += n * K, targets += n * K;
    RowSums s = rowSums(logits, targets, K);
    float loss = 0, total = s.top + logf(s.exps);
    for (int k = threadIdx.x; k < K; k += blockDim.x) loss += targets[k] * (total - logits[k]);
    loss = blockTotal(loss, [](float a, float b) { return a + b; });
    if (threadIdx.x == 0) losses[n] = loss / N;
}

// crossEntropyGrad: dlogits = dloss*(softmax(logits)*sum(targets) - targets)/N.
extern "C" __global__ void crossEntropyGrad(const float* logits, const float* targets, const float* dloss, float* dlogits, int N, int K) {
    Size n = blockIdx.x;
    logits += n * K, targets += n * K, dlogits += n * K;
    RowSums s = rowSums(logits, targets, K);
    float factor = s.targets / s.exps, scale = dloss[0] / N;
    for (int k = threadIdx.x; k < K; k += blockDim.x) dlogits[k] = scale * (expf(logits[k] - s.top) * factor - targets[k]);
}
