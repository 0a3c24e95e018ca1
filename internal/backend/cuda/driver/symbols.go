package driver

import (
	"unsafe"

	"effnet/internal/dynlib"
)

// cuda is what is used of libcuda. Where cuda.h renames a function to one with
// a version (cuMemAlloc to cuMemAlloc_v2), the library has the old function
// under the plain name, so the version is written here.
type cuda struct {
	getErrorName, init                                       entry
	deviceGetCount, deviceGet, deviceGetName, deviceGetAttr  entry
	deviceTotalMem                                           entry
	primaryCtxRetain, primaryCtxRelease, ctxSetCurrent       entry
	memGetInfo, memAlloc, memFree, memHostAlloc, memFreeHost entry
	memcpyHtoD, memcpyDtoH, memcpyDtoD, memsetD8             entry
	streamCreate, streamDestroy                              entry
	streamSynchronize, streamWaitEvent                       entry
	eventCreate, eventDestroy, eventRecord                   entry
	eventSynchronize, eventQuery, eventElapsedTime           entry
	moduleLoadData, moduleUnload, moduleGetFunction          entry
	launchKernel, streamBeginCapture, streamEndCapture       entry
	graphInstantiate, graphLaunch, graphExecDestroy          entry
	graphDestroy                                             entry
}

func bindCUDA(l *Library) (*cuda, error) {
	c := &cuda{}
	return c, l.bind(c.errorName, []binding{
		{"cuGetErrorName", &c.getErrorName},
		{"cuInit", &c.init},
		{"cuDeviceGetCount", &c.deviceGetCount},
		{"cuDeviceGet", &c.deviceGet},
		{"cuDeviceGetName", &c.deviceGetName},
		{"cuDeviceGetAttribute", &c.deviceGetAttr},
		{"cuDeviceTotalMem_v2", &c.deviceTotalMem},
		// cuCtxCreate is another function in CUDA 13 than in 12; the device's
		// primary context, which cuBLASLt uses too, is had the same way in both.
		{"cuDevicePrimaryCtxRetain", &c.primaryCtxRetain},
		{"cuDevicePrimaryCtxRelease_v2", &c.primaryCtxRelease},
		{"cuCtxSetCurrent", &c.ctxSetCurrent},
		{"cuMemGetInfo_v2", &c.memGetInfo},
		{"cuMemAlloc_v2", &c.memAlloc},
		{"cuMemFree_v2", &c.memFree},
		{"cuMemHostAlloc", &c.memHostAlloc},
		{"cuMemFreeHost", &c.memFreeHost},
		{"cuMemcpyHtoDAsync_v2", &c.memcpyHtoD},
		{"cuMemcpyDtoHAsync_v2", &c.memcpyDtoH},
		{"cuMemcpyDtoDAsync_v2", &c.memcpyDtoD},
		{"cuMemsetD8Async", &c.memsetD8},
		{"cuStreamCreate", &c.streamCreate},
		{"cuStreamDestroy_v2", &c.streamDestroy},
		{"cuStreamSynchronize", &c.streamSynchronize},
		{"cuStreamWaitEvent", &c.streamWaitEvent},
		{"cuEventCreate", &c.eventCreate},
		{"cuEventDestroy_v2", &c.eventDestroy},
		{"cuEventRecord", &c.eventRecord},
		{"cuEventSynchronize", &c.eventSynchronize},
		{"cuEventQuery", &c.eventQuery},
		{"cuEventElapsedTime", &c.eventElapsedTime},
		{"cuModuleLoadData", &c.moduleLoadData},
		{"cuModuleUnload", &c.moduleUnload},
		{"cuModuleGetFunction", &c.moduleGetFunction},
		{"cuLaunchKernel", &c.launchKernel},
		{"cuStreamBeginCapture_v2", &c.streamBeginCapture},
		{"cuStreamEndCapture", &c.streamEndCapture},
		{"cuGraphInstantiateWithFlags", &c.graphInstantiate},
		{"cuGraphLaunch", &c.graphLaunch},
		{"cuGraphExecDestroy", &c.graphExecDestroy},
		{"cuGraphDestroy", &c.graphDestroy},
	})
}

// errorName is CUDA's name for a result: CUDA_ERROR_OUT_OF_MEMORY.
func (c *cuda) errorName(code int32) string {
	var name *byte
	dynlib.Call(c.getErrorName.address, uintptr(code), uintptr(unsafe.Pointer(&name)))
	if name == nil {
		return number(code)
	}
	return text(name)
}

// cublasLt is what is used of libcublasLt.
type cublasLt struct {
	getStatusName, getVersion            entry
	create, destroy                      entry
	descCreate, descDestroy, descSet     entry
	layoutCreate, layoutDestroy          entry
	preferenceCreate, preferenceDestroy  entry
	preferenceSet                        entry
	algoGetHeuristic, algoCheck, product entry
}

func bindCublasLt(l *Library) (*cublasLt, error) {
	c := &cublasLt{}
	name := func(code int32) string { return textAt(dynlib.Call(c.getStatusName.address, uintptr(code))) }
	return c, l.bind(name, []binding{
		{"cublasLtGetStatusName", &c.getStatusName},
		{"cublasLtGetVersion", &c.getVersion},
		{"cublasLtCreate", &c.create},
		{"cublasLtDestroy", &c.destroy},
		{"cublasLtMatmulDescCreate", &c.descCreate},
		{"cublasLtMatmulDescDestroy", &c.descDestroy},
		{"cublasLtMatmulDescSetAttribute", &c.descSet},
		{"cublasLtMatrixLayoutCreate", &c.layoutCreate},
		{"cublasLtMatrixLayoutDestroy", &c.layoutDestroy},
		{"cublasLtMatmulPreferenceCreate", &c.preferenceCreate},
		{"cublasLtMatmulPreferenceDestroy", &c.preferenceDestroy},
		{"cublasLtMatmulPreferenceSetAttribute", &c.preferenceSet},
		{"cublasLtMatmulAlgoGetHeuristic", &c.algoGetHeuristic},
		{"cublasLtMatmulAlgoCheck", &c.algoCheck},
		{"cublasLtMatmul", &c.product},
	})
}

// nvrtc is what is used of libnvrtc.
type nvrtc struct {
	getErrorString, create, destroy, compile entry
	getLogSize, getLog                       entry
	getPTXSize, getPTX                       entry
	getCUBINSize, getCUBIN                   entry
}

func bindNVRTC(l *Library) (*nvrtc, error) {
	n := &nvrtc{}
	name := func(code int32) string { return textAt(dynlib.Call(n.getErrorString.address, uintptr(code))) }
	return n, l.bind(name, []binding{
		{"nvrtcGetErrorString", &n.getErrorString},
		{"nvrtcCreateProgram", &n.create},
		{"nvrtcDestroyProgram", &n.destroy},
		{"nvrtcCompileProgram", &n.compile},
		{"nvrtcGetProgramLogSize", &n.getLogSize},
		{"nvrtcGetProgramLog", &n.getLog},
		{"nvrtcGetPTXSize", &n.getPTXSize},
		{"nvrtcGetPTX", &n.getPTX},
		{"nvrtcGetCUBINSize", &n.getCUBINSize},
		{"nvrtcGetCUBIN", &n.getCUBIN},
	})
}
