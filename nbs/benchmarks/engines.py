"""What an answer with the heatmaps of all classes costs in each engine, and whether it is the same answer.

    pip install -e ".[onnx,openvino]" && python nbs/benchmarks/engines.py --data ../shared/neu-det

One process, the same pixels, all engines on the same number of threads. They take turns; a speed-up is formed with eager PyTorch in 32 bits
of the same round, and the table shows the median over the rounds and the extremes; one that takes three times as long has one turn. Each turn goes from uint8 pixels in memory to logits,
probabilities, label sets, unknown-score, verdict and all maps in memory; reading and resizing an image are the same for all and left out.
*OpenVINO int8* is quantised by NNCF on images the model learned from. Right answers, labels the same as PyTorch's and the correlation of
the maps are counted on the images that judged the model's training. *Start to first answer* is a fresh Python that reads one JPEG.
On a GPU eager fp32, bf16, torch.compile and CUDA graphs (compile's `reduce-overhead`) take turns, and the share of the roofline is the
convolutions' and matrix products' operations, as PyTorch's counter has them, over --tflops, the card's peak for the type."""
import argparse, json, platform, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch

from defect_nbdev.core.files import write_text
from defect_nbdev.inference.engines import EngineOutputs, compare_outputs, load_engine
from defect_nbdev.inference.command import read_pixels, read_split
from defect_nbdev.inference.export import export_model, trial_images
from defect_nbdev.inference.torch_engine import load_torch_engine

class Cast(torch.nn.Module):
    "An InferenceModel whose backbone runs in another type; what follows it stays in 32 bits"
    def __init__(self, network, dtype): super().__init__(); self.network,self.dtype,self.pixels = network,dtype,network.pixels
    def forward(self, pixels):
        with torch.autocast(pixels.device.type, self.dtype): return self.network(pixels)

def in_torch(name, device, wrap=lambda network: network):
    e = load_torch_engine(name, device); e.network = wrap(e.network); return e

TORCH = {'eager fp32':lambda l: l, 'eager bf16':lambda l: Cast(l, torch.bfloat16), 'torch.compile':lambda l: torch.compile(l, dynamic=False)}
ON_GPU = {**TORCH, 'compile bf16':lambda l: torch.compile(Cast(l, torch.bfloat16), dynamic=False), 'CUDA graphs':lambda l: torch.compile(l, mode='reduce-overhead', dynamic=False), 'CUDA graphs bf16':lambda l: torch.compile(Cast(l, torch.bfloat16), mode='reduce-overhead', dynamic=False)}

def exported(name, folder, learned, judged, threads):
    "Files of one model: {engine: Engine}, and why an engine is missing"
    made,missing,base = {},{},load_torch_engine(name, 'cpu')
    for k,file,kw in (('ONNX Runtime fp32', f'{name}.onnx', {}), ('OpenVINO fp32', f'{name}.xml', {}), ('OpenVINO int8', f'{name}-int8.xml', dict(calibration_images=learned))):
        if kw and learned is None: missing[k] = 'no --data'; continue
        try: export_model(base, Path(folder)/file, validation_images=judged if kw or judged is None else judged[::8], **kw); made[k] = load_engine(Path(folder)/file, threads)
        except ValueError as e: missing[k] = str(e).split(': ', 1)[-1]; print(f'  {k}: {missing[k]}', flush=True)
    return made,missing

def seconds(engine, pixels, images):
    repeats = max(1, round(images/len(pixels))); t = time.perf_counter()
    for _ in range(repeats): engine.run(pixels)
    return (time.perf_counter()-t)/repeats/len(pixels)

def turns(name, engines, pixels, batch, o):
    "Rows: milliseconds an image and speed-ups over eager fp32, median and extremes over the rounds"
    x = pixels[np.arange(batch)%len(pixels)]
    for e in engines.values(): e.run(x)
    took = []
    for _ in range(o.rounds): took.append({k:seconds(e, x, o.images) for k,e in engines.items() if not took or took[0][k]<3*took[0]['eager fp32']})
    own = lambda k: [t for t in took if k in t]
    stats = lambda v, d: [round(f(v), d) for f in (median, min, max)]
    return [{'model':name, 'engine':k, 'batch':batch, 'ms':stats([t[k]*1e3 for t in own(k)], 2), 'speedup':stats([t['eager fp32']/t[k] for t in own(k)], 3)} for k in engines]

def ask(engine, pixels, batch=32):
    parts = [engine.run(pixels[i:i+batch]) for i in range(0, len(pixels)//batch*batch or len(pixels), batch)] + ([engine.run(pixels[len(pixels)//batch*batch:])] if len(pixels)>batch and len(pixels)%batch else [])
    return EngineOutputs(*(None if v[0] is None else np.concatenate(v) for v in zip(*parts)))

def quality(engines, pixels, targets):
    want = ask(engines['eager fp32'], pixels)
    def one(e): a = ask(e, pixels); return {'accuracy':round(float((a.logits.argmax(1)==targets).mean()), 4), **{k:float(f'{v:.4g}') for k,v in compare_outputs(a, want).items()}}
    return {k:one(e) for k,e in engines.items()}

def first_answer(path):
    "Seconds from the start of a fresh Python to the first answer for a JPEG, least of five"
    with tempfile.TemporaryDirectory() as d:
        from PIL import Image
        Image.fromarray(trial_images(200)[0]).save(f'{d}/steel.jpg')
        code = f"import sys; from defect_nbdev.inference.inspector import load_inspector; p = load_inspector({str(path)!r})('{d}/steel.jpg'); p.overlay; assert 'torch' not in sys.modules"
        def once(): t = time.perf_counter(); subprocess.run([sys.executable, '-c', code], check=True); return time.perf_counter()-t
        return round(min(once() for _ in range(5)), 2)

def roofline(engine, rows, tflops):
    "Adds operations an image and the share of the card's peak to rows"
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as c, torch.no_grad(): engine.network(torch.zeros(1, engine.size, engine.size, 3, dtype=torch.uint8, device='cuda'))
    for r in rows: peak = tflops['bf16' if 'bf16' in r['engine'] else 'fp32']; r.update(images_per_s=round(1e3/r['ms'][0], 1), gflop=round(c.get_total_flops()/1e9, 2), roofline=round(c.get_total_flops()/(r['ms'][0]*1e-3)/peak/1e12, 4))

def goals(rows, quality, start):
    "Every goal beside what was measured"
    same = lambda r: (q := quality.get(r['model'], {})).get(r['engine'], {}).get('accuracy', 0)>=q.get('eager fp32', {}).get('accuracy', 1)
    out = []
    if fast := [r['speedup'][0] for r in rows if r['model']=='neu-resnet50' and same(r)]: out.append({'goal':'ResNet-50: best engine ≥ 5× eager fp32 at equal accuracy', 'measured':f'{max(fast):.2f}×', 'met':max(fast)>=5})
    if ms := [r['ms'][0] for r in rows if r['model']=='neu-lite0' and r['batch']==1 and same(r)]: out.append({'goal':'neu-lite0: ≤ 10 ms an image with its heatmaps, at equal accuracy', 'measured':f'{min(ms):.1f} ms', 'met':min(ms)<=10})
    for m,s in start.items(): out.append({'goal':f'{m}: start to first answer through ONNX Runtime ≤ 2 s', 'measured':f'{s:.2f} s', 'met':s<=2})
    for m,q in quality.items():
        if (k := 'OpenVINO int8') in q: out.append({'goal':f'{m}, {k}: ≥ 99.5 % same label', 'measured':f"{q[k]['same_labels']:.2%}", 'met':q[k]['same_labels']>=.995}); out.append({'goal':f'{m}, {k}: map correlation ≥ 0.98', 'measured':f"{q[k]['map_correlation']:.4f}", 'met':q[k]['map_correlation']>=.98})
    return out

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); p.add_argument('--models', nargs='*', default=['neu-resnet50', 'neu-lite0']); p.add_argument('--data', help='the images the models were trained on; without, no int8 and no quality')
    p.add_argument('--batches', type=int, nargs='*', default=[1, 32]); p.add_argument('--images', type=int, default=64, help='in each turn'); p.add_argument('--rounds', type=int, default=9); p.add_argument('--threads', type=int, default=2)
    p.add_argument('--judged', type=int, default=400, help='validation images, at most'); p.add_argument('--no-compile', action='store_true'); p.add_argument('--out', default=str(Path(__file__).with_suffix('.json')))
    p.add_argument('--tflops', type=json.loads, default={'fp32':66.9, 'bf16':989.4}, help='peaks of the GPU as JSON; the default is an H100 SXM without sparsity or TF32'); o = p.parse_args()
    gpu = torch.cuda.is_available(); torch.set_num_threads(o.threads); rows,q,start,missing = [],{},{},{}
    for name in o.models:
        base = load_torch_engine(name, 'cpu'); learned = judged = targets = None
        if o.data:
            train,valid = read_split(name, o.data); valid = [valid[i] for i in np.unique(np.linspace(0, len(valid)-1, min(o.judged, len(valid))).astype(int))]
            learned,judged,targets = read_pixels(train, base.size),read_pixels(valid, base.size),np.array([base.classes.index(s.label) for s in valid])
        pixels = judged if judged is not None else trial_images(base.size)
        if gpu:
            engines = {k:in_torch(name, 'cuda', w) for k,w in ON_GPU.items() if not (o.no_compile and k not in ('eager fp32', 'eager bf16'))}
            mine = [r for b in o.batches for r in turns(name, engines, pixels, b, o)]; roofline(in_torch(name, 'cuda'), mine, o.tflops); rows += mine
        else:
            with tempfile.TemporaryDirectory() as d:
                files,missing[name] = exported(name, d, learned, judged, o.threads)
                engines = {**{k:in_torch(name, 'cpu', w) for k,w in TORCH.items() if not (o.no_compile and k=='torch.compile')}, **files}
                for b in o.batches: rows += turns(name, engines, pixels, b, o)
                if (onnx := Path(d)/f'{name}.onnx').is_file(): start[name] = first_answer(onnx)
        if targets is not None: q[name] = quality({k:e for k,e in engines.items() if gpu or k not in ('eager bf16', 'torch.compile')}, judged, targets)      # the one takes too long on a processor without bf16, the other is eager's graph
        for r in rows:
            if r['model']==name: print(f"{name} ×{r['batch']:<3} {r['engine']:18} {r['ms'][0]:8.2f} ms  {r['speedup'][0]:6.2f}×  ({r['speedup'][1]:.2f} to {r['speedup'][2]:.2f})" + (f"  {r['images_per_s']:9.1f}/s  {r['roofline']:.1%} of peak" if gpu else ''), flush=True)
    found = [] if gpu else goals(rows, q, start)
    for g in found: print(f"{g['goal']:70} {g['measured']:>9}  {'met' if g['met'] else 'missed'}")
    def v(p):
        try: return version(p)
        except Exception: return None
    where = {'device':torch.cuda.get_device_name() if gpu else f'{platform.machine()} CPU, {o.threads} threads', 'versions':{k:v(k) for k in ('torch', 'onnxruntime', 'openvino', 'nncf')}}
    write_text(Path(o.out), json.dumps({**where, 'rounds':o.rounds, 'images':o.images, 'rows':rows, 'quality':q, 'start_to_first_answer_s':start, 'missing':missing, 'goals':found}, indent=1) + '\n')

if __name__=='__main__': main()
