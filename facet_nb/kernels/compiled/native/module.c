/* The extension module: finds kernels and calls them, without the GIL. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <string.h>

#include "kernel.h"

/* Changes with the meaning of any argument, and with library.py: an older library of an editable
 * installation is then refused instead of called. */
#define VERSION 3

extern const kernel kernels_d_baseline[], kernels_f_baseline[];
#if defined(__x86_64__)
extern const kernel kernels_d_avx2[], kernels_f_avx2[];
#endif

static const struct {
    const char *instructions;
    const kernel *of_double, *of_float;
} sets[] = {
#if defined(__x86_64__)
    {"avx2", kernels_d_avx2, kernels_f_avx2},
#endif
    {"baseline", kernels_d_baseline, kernels_f_baseline},
};

/* Whether the processor has an instruction set. */
static int has_instructions(size_t i)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return i > 0 || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#else
    return i == 0;
#endif
}

static PyObject *list_instructions(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names && i < sizeof sets / sizeof *sets; i++) {
        if (!has_instructions(i))
            continue;
        PyObject *name = PyUnicode_FromString(sets[i].instructions);
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *find(PyObject *self, PyObject *args)
{
    (void)self;
    const char *name, *type, *instructions;
    if (!PyArg_ParseTuple(args, "sss", &name, &type, &instructions))
        return NULL;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(sets[i].instructions, instructions) || !has_instructions(i))
            continue;
        const kernel *k = *type == 'f' ? sets[i].of_float : sets[i].of_double;
        for (; k->name; k++)
            if (!strcmp(k->name, name))
                return PyCapsule_New((void *)k, type[0] == 'f' ? "float" : "double", NULL);
    }
    return PyErr_Format(PyExc_LookupError, "no kernel %s, %s, %s", name, type, instructions);
}

/* Get the memory of an array whose last axis is contiguous; return whether it has the right type. */
static int get_array(PyObject *object, char kind, const char *real, Py_buffer *view)
{
    int writes = kind >= 'A' && kind <= 'Z';
    const char *format = kind == 'x' || kind == 'X' ? real : kind == 'd' || kind == 'D' ? "d" : "lq";
    if (kind == 's')
        format = "h";
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDES | PyBUF_FORMAT | (writes ? PyBUF_WRITABLE : 0)))
        return 0;
    int last = view->ndim - 1;
    int contiguous = last < 0 || view->shape[last] < 2 || view->strides[last] == view->itemsize;
    if (contiguous && strlen(view->format) == 1 && strchr(format, *view->format) &&
        view->itemsize == (*format == 'h' ? 2 : *format == 'f' ? 4 : 8))
        return 1;
    PyErr_Format(PyExc_TypeError, "a kernel takes contiguous arrays of type %s, not %s", format,
                 view->format);
    PyBuffer_Release(view);
    return 0;
}

/* call(kernel, *arguments) */
static PyObject *call(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    (void)self;
    const char *real = n_args > 0 && PyCapsule_IsValid(args[0], "float") ? "float" : "double";
    if (n_args < 1 || !PyCapsule_IsValid(args[0], real))
        return PyErr_Format(PyExc_TypeError, "the first argument must be a kernel");
    const kernel *k = PyCapsule_GetPointer(args[0], real);
    argument given[MOST_ARGUMENTS];
    Py_buffer views[MOST_ARGUMENTS];
    int n = 0, n_views = 0, fine = 1;
    for (const char *kind = k->kinds; fine && *kind; kind++) {
        if (*kind == ' ')
            continue;
        PyObject *object = ++n < n_args ? args[n] : NULL;
        argument *to = &given[n - 1];
        if (!object) {
            fine = 0;
        } else if (*kind == 'n') {
            to->n = PyLong_AsSsize_t(object);
            fine = !PyErr_Occurred();
        } else if (*kind == 'f') {
            to->f = PyFloat_AsDouble(object);
            fine = !PyErr_Occurred();
        } else if (object == Py_None) {
            to->array = NULL;
        } else if ((fine = get_array(object, *kind, *real == 'f' ? "f" : "d", &views[n_views]))) {
            to->array = views[n_views++].buf;
        }
    }
    if (fine && n == n_args - 1) {
        Py_BEGIN_ALLOW_THREADS
        k->run(given);
        Py_END_ALLOW_THREADS
    } else if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%s does not take %zd arguments", k->name, n_args - 1);
    }
    for (int i = 0; i < n_views; i++)
        PyBuffer_Release(&views[i]);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"list_instructions", list_instructions, METH_NOARGS,
     "Return the instruction sets that this processor has, the best first."},
    {"find", find, METH_VARARGS, "find(name, type, instructions): return a kernel."},
    {"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL,
     "call(kernel, *arguments): run a kernel without the GIL."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Compiled kernels; see library.py.", 0, functions, NULL, NULL,
    NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "VERSION", VERSION) < 0)
        Py_CLEAR(module);
    return module;
}
