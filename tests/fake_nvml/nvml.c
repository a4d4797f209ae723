/* A stand-in for NVIDIA's management library: cards with a known power trace, and every fault that we care for.
 *
 * FAKE_NVML names a file with a line for each card, read anew at each nvmlInit:
 *   uuid=GPU-... name=... pci=00000000:17:00.0 step_ms=20 counter=1 instant=1 average=0 arch=9 major=9 minor=0
 *   limit_w=400 lost_ns=0 phase_ms=0 mig=MIG-a,MIG-b others=0 legacy=0 delay_us=0 sensor_ms=0 mean_ms=0 reset_ns=0
 * All but uuid have defaults. At `lost_ns` on the monotonic clock (0: never) the card falls off the bus. `instant` is
 * the field of the instantaneous power; `average` makes nvmlDeviceGetPowerUsage a mean over the last second, as it is
 * since Ampere; `legacy` leaves out what old drivers have not. The sensor is read every `sensor_ms` (0: always) and then
 * gives the mean over the last `mean_ms`, with some milliwatts of noise. At `reset_ns` the counter begins anew.
 *
 * The power at time t [s] of the monotonic clock, less the card's phase: 60 W, 240 W more in the first 0.4 s of every
 * 0.7 s, and 200 W more in the first 12 ms of every 0.23 s. The counter holds the energy since time 0 at the last
 * multiple of the step.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
enum { MAX_CARDS = 16, MAX_MIG = 8, FIELD_POWER_INSTANT = 186 };

typedef struct {
    char uuid[96], name[96], pci[32], mig[MAX_MIG][96];
    double step, phase, limit, sensor, mean;
    int counter, instant, average, arch, major, minor, migs, others, legacy, delay;
    int64_t lost, reset;
} Card;
typedef struct { Card *card; int mig; } Handle; /* mig is -1 for the card itself */

static Card cards[MAX_CARDS];
static Handle handles[MAX_CARDS][MAX_MIG + 1];
static int count, ready;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double pulses(double t, double watts, double width, double period) {
    double whole = floor(t / period), rest = t - whole * period;
    return watts * (whole * width + (rest < width ? rest : width));
}
static double energy(const Card *c, double t) {
    t -= c->phase;
    return 60 * t + pulses(t, 240, 0.4, 0.7) + pulses(t, 200, 0.012, 0.23);
}
static double power(const Card *c, double t) {
    t -= c->phase;
    return 60 + (fmod(t, 0.7) < 0.4 ? 240 : 0) + (fmod(t, 0.23) < 0.012 ? 200 : 0);
}
static double seconds(void) { return now_ns() / 1e9; }

static void set(Card *c, const char *key, char *value) {
    if (!strcmp(key, "uuid")) snprintf(c->uuid, sizeof c->uuid, "%s", value);
    else if (!strcmp(key, "name")) { snprintf(c->name, sizeof c->name, "%s", value); for (char *p = c->name; *p; p++) if (*p == '_') *p = ' '; }
    else if (!strcmp(key, "pci")) snprintf(c->pci, sizeof c->pci, "%s", value);
    else if (!strcmp(key, "step_ms")) c->step = atof(value) / 1e3;
    else if (!strcmp(key, "phase_ms")) c->phase = atof(value) / 1e3;
    else if (!strcmp(key, "limit_w")) c->limit = atof(value);
    else if (!strcmp(key, "counter")) c->counter = atoi(value);
    else if (!strcmp(key, "instant")) c->instant = atoi(value);
    else if (!strcmp(key, "average")) c->average = atoi(value);
    else if (!strcmp(key, "arch")) c->arch = atoi(value);
    else if (!strcmp(key, "major")) c->major = atoi(value);
    else if (!strcmp(key, "minor")) c->minor = atoi(value);
    else if (!strcmp(key, "others")) c->others = atoi(value);
    else if (!strcmp(key, "legacy")) c->legacy = atoi(value);
    else if (!strcmp(key, "delay_us")) c->delay = atoi(value);
    else if (!strcmp(key, "lost_ns")) c->lost = atoll(value);
    else if (!strcmp(key, "reset_ns")) c->reset = atoll(value);
    else if (!strcmp(key, "sensor_ms")) c->sensor = atof(value) / 1e3;
    else if (!strcmp(key, "mean_ms")) c->mean = atof(value) / 1e3;
    else if (!strcmp(key, "mig"))
        for (char *save, *part = strtok_r(value, ",", &save); part && c->migs < MAX_MIG; part = strtok_r(NULL, ",", &save))
            snprintf(c->mig[c->migs++], sizeof c->mig[0], "%s", part);
}

static int load(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return DRIVER_NOT_LOADED;
    char line[2048];
    count = 0;
    while (count < MAX_CARDS && fgets(line, sizeof line, file)) {
        Card *c = &cards[count];
        *c = (Card){.name = "Fake GPU", .step = 0.02, .limit = 400, .counter = 1, .instant = 1, .arch = 9, .major = 9};
        snprintf(c->pci, sizeof c->pci, "00000000:%02X:00.0", count + 1);
        for (char *save, *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
            char *equals = strchr(word, '=');
            if (equals) { *equals = 0; set(c, word, equals + 1); }
        }
        if (!c->uuid[0]) continue;
        for (int m = -1; m < c->migs; m++) handles[count][m + 1] = (Handle){c, m};
        count++;
    }
    fclose(file);
    return OK;
}

/* Why a call cannot be answered now, after the time that the device takes. */
static int refuse(const Handle *h) {
    if (!ready) return UNINITIALIZED;
    if (!h) return INVALID_ARGUMENT;
    if (h->card->delay) usleep(h->card->delay);
    return h->card->lost && now_ns() >= h->card->lost ? GPU_IS_LOST : OK;
}
static int number(Handle *h, unsigned *out, unsigned value) {
    int why = refuse(h);
    if (!why) *out = value;
    return why;
}
static int text(char *out, unsigned size, const char *value) {
    if (strlen(value) + 1 > size) return INSUFFICIENT_SIZE;
    strcpy(out, value);
    return OK;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; int why = load(); if (!why) ready++; return why; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { if (!ready) return UNINITIALIZED; ready--; return OK; }
const char *nvmlErrorString(int why) {
    switch (why) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}
int nvmlSystemGetDriverVersion(char *out, unsigned size) { return ready ? text(out, size, "580.1.2-fake") : UNINITIALIZED; }
int nvmlSystemGetCudaDriverVersion(int *out) { *out = 13000; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { *out = 13000; return OK; }
int nvmlDeviceGetCount_v2(unsigned *out) { if (!ready) return UNINITIALIZED; *out = count; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle **out) {
    if (!ready) return UNINITIALIZED;
    if (index >= (unsigned)count) return INVALID_ARGUMENT;
    *out = &handles[index][0];
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Handle **out) {
    if (!ready) return UNINITIALIZED;
    for (int i = 0; i < count; i++)
        for (int m = -1; m < cards[i].migs; m++)
            if (!strcmp(uuid, m < 0 ? cards[i].uuid : cards[i].mig[m])) { *out = &handles[i][m + 1]; return OK; }
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, Handle **out) {
    for (int i = 0; i < count; i++) if (!strcasecmp(pci, cards[i].pci)) { *out = &handles[i][0]; return OK; }
    return NOT_FOUND;
}
int nvmlDeviceGetIndex(Handle *h, unsigned *out) { return number(h, out, h ? h->card - cards : 0); }
int nvmlDeviceGetUUID(Handle *h, char *out, unsigned size) {
    int why = refuse(h);
    return why ? why : text(out, size, h->mig < 0 ? h->card->uuid : h->card->mig[h->mig]);
}
int nvmlDeviceGetName(Handle *h, char *out, unsigned size) { int why = refuse(h); return why ? why : text(out, size, h->card->name); }

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
int nvmlDeviceGetPciInfo_v3(Handle *h, Pci *out) {
    int why = refuse(h);
    if (why) return why;
    memset(out, 0, sizeof *out);
    sscanf(h->card->pci, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    return text(out->bus_id, sizeof out->bus_id, h->card->pci);
}
int nvmlDeviceGetPciInfo_v2(Handle *h, Pci *out) { return nvmlDeviceGetPciInfo_v3(h, out); }

int nvmlDeviceGetTotalEnergyConsumption(Handle *h, unsigned long long *out) {
    int why = refuse(h);
    if (why) return why;
    if (!h->card->counter || h->mig >= 0) return NOT_SUPPORTED;
    double step = h->card->step;
    double since = h->card->reset && now_ns() >= h->card->reset ? energy(h->card, h->card->reset / 1e9) : 0;
    *out = (unsigned long long)(1000 * (energy(h->card, floor(seconds() / step) * step) - since));
    return OK;
}
/* Of every reading of the sensor another few milliwatts, as the last digits of a real one are. */
static double noise(double t) { return ((uint64_t)(t * 1e6) * 2654435761u >> 16 & 63) / 1e3 - 0.032; }
static double instant(const Card *c) {
    double t = seconds();
    if (c->sensor > 0) t = floor(t / c->sensor) * c->sensor;
    return noise(t) + (c->mean > 0 ? (energy(c, t) - energy(c, t - c->mean)) / c->mean : power(c, t));
}
static double usage(const Card *c) {
    double t = seconds();
    return c->average ? energy(c, t) - energy(c, t - 1) + noise(t) : instant(c);
}
int nvmlDeviceGetPowerUsage(Handle *h, unsigned *out) {
    int why = refuse(h);
    if (why) return why;
    if (h->mig >= 0) return NOT_SUPPORTED;
    *out = (unsigned)lround(1000 * usage(h->card));
    return OK;
}
typedef struct { unsigned field, scope; int64_t timestamp, latency; int type, status; union { double d; unsigned u; unsigned long long q; } value; } Field;
int nvmlDeviceGetFieldValues(Handle *h, int length, Field *fields) {
    int why = refuse(h);
    if (why) return why;
    for (int i = 0; i < length; i++) {
        fields[i].status = NOT_SUPPORTED;
        if (fields[i].field == FIELD_POWER_INSTANT && h->card->instant && !h->card->legacy && h->mig < 0) {
            fields[i].status = OK;
            fields[i].type = 1;
            fields[i].value.u = (unsigned)lround(1000 * instant(h->card));
        }
    }
    return OK;
}
int nvmlDeviceGetEnforcedPowerLimit(Handle *h, unsigned *out) { return number(h, out, h ? 1000 * h->card->limit : 0); }
int nvmlDeviceGetPowerManagementLimit(Handle *h, unsigned *out) { return nvmlDeviceGetEnforcedPowerLimit(h, out); }
int nvmlDeviceGetPowerManagementMode(Handle *h, unsigned *out) { return number(h, out, 1); }
int nvmlDeviceGetTemperature(Handle *h, int sensor, unsigned *out) { (void)sensor; return number(h, out, 40 + now_ns() / 1000000000 % 10); }
int nvmlDeviceGetArchitecture(Handle *h, unsigned *out) {
    int why = refuse(h);
    if (!why && h->card->legacy) return NOT_SUPPORTED;
    return why ? why : number(h, out, h->card->arch);
}
int nvmlDeviceGetCudaComputeCapability(Handle *h, int *major, int *minor) {
    int why = refuse(h);
    if (!why) { *major = h->card->major; *minor = h->card->minor; }
    return why;
}
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu, compute; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(Handle *h, unsigned *length, Process *out) {
    int why = refuse(h);
    if (why) return why;
    unsigned wanted = h->card->others, room = *length;
    *length = wanted;
    if (wanted > room) return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < wanted; i++) out[i] = (Process){.pid = 1000000 + i, .memory = 1 << 20};
    return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Handle *h, unsigned *length, Process *out) { (void)out; *length = 0; return refuse(h); }

int nvmlDeviceIsMigDeviceHandle(Handle *h, unsigned *out) { return number(h, out, h && h->mig >= 0); }
int nvmlDeviceGetMigMode(Handle *h, unsigned *current, unsigned *pending) {
    int why = refuse(h);
    if (!why) *current = *pending = h->card->migs > 0;
    return why;
}
int nvmlDeviceGetMaxMigDeviceCount(Handle *h, unsigned *out) { return number(h, out, h ? h->card->migs : 0); }
int nvmlDeviceGetMigDeviceHandleByIndex(Handle *h, unsigned index, Handle **out) {
    int why = refuse(h);
    if (why) return why;
    if (index >= (unsigned)h->card->migs) return NOT_FOUND;
    *out = &handles[h->card - cards][index + 1];
    return OK;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Handle *h, Handle **out) {
    int why = refuse(h);
    if (!why) *out = &handles[h->card - cards][0];
    return why;
}

/* What other tools ask for besides. */
typedef struct { unsigned gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(Handle *h, Utilization *out) { out->gpu = 50; out->memory = 10; return refuse(h); }
typedef struct { unsigned long long total, free, used; } Memory;
int nvmlDeviceGetMemoryInfo(Handle *h, Memory *out) { *out = (Memory){16ull << 30, 12ull << 30, 4ull << 30}; return refuse(h); }
int nvmlDeviceGetComputeMode(Handle *h, unsigned *out) { return number(h, out, 0); }
