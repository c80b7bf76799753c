/* Phases of the moon, as well as an almanac needs to know them. */
#include <Python.h>

static const char *const NAMES[] = {
    "new moon", "waxing crescent", "first quarter", "waxing gibbous",
    "full moon", "waning gibbous", "last quarter", "waning crescent",
};

/* The new moon of 6 January 2000, by the proleptic Gregorian ordinal of Python's datetime. */
static const double NEW_MOON = 730125.76;
static const double MONTH = 29.530588853;

static PyObject *name(PyObject *module, PyObject *ordinal) {
    double day = PyFloat_AsDouble(ordinal);
    if (PyErr_Occurred()) {
        return NULL;
    }
    double months = (day - NEW_MOON) / MONTH;
    double whole = (double)(long long)months;
    double part = months - (months < whole ? whole - 1 : whole);
    return PyUnicode_FromString(NAMES[(int)(part * 8 + 0.5) % 8]);
}

static PyMethodDef METHODS[] = {
    {"name", name, METH_O, "The phase of the moon on a day, given by its ordinal."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "phases", "Phases of the moon.", -1, METHODS};

PyMODINIT_FUNC PyInit_phases(void) {
    return PyModule_Create(&MODULE);
}
